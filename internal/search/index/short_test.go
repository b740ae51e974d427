package index

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestShort(t *testing.T) {
	long := strings.Repeat("é", 700)
	for _, text := range []string{"", "short", strings.Repeat("x", longest)} {
		if got := Short(text); got != text {
			t.Errorf("a text of %d bytes became %q", len(text), got)
		}
	}
	short := Short("a" + long)
	if len(short) > longest || !utf8.ValidString(short) || !strings.HasPrefix("a"+long, short[:kept-1]) {
		t.Errorf("%d bytes, %q", len(short), short)
	}
	if Short(short) != short {
		t.Error("a shortened text is shortened again")
	}
	if Short("a"+long) == Short("a"+long+"!") {
		t.Error("two long texts that begin alike are one in the index")
	}
}
