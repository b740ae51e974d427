package sqlwriter

import "testing"

func TestPrefixEnd(t *testing.T) {
	for _, c := range []struct{ prefix, want string }{
		{"a", "b"}, {"ab", "ac"}, {"\u007f", "\u0080"}, {"é", "ê"}, {"\ud7ff", "\ue000"},
		{"\uffff", "\U00010000"}, {"a\U0010FFFF", "b"}, {"\U0010FFFF", ""}, {"", ""},
	} {
		if got, ok := prefixEnd(c.prefix); got != c.want || ok != (c.want != "") {
			t.Errorf("prefixEnd(%q) = %q, %v; want %q", c.prefix, got, ok, c.want)
		}
	}
}
