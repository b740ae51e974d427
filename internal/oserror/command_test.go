package oserror

import (
	"os/exec"
	"testing"
)

// TestWord compares each text with what a shell reads from its quoted form.
func TestWord(t *testing.T) {
	for _, text := range []string{"", "/var/lib/muster", "a folder", "it's", "$HOME", "a\"b`c", "postgres://u:xxxxx@h/d?a=b&c=d"} {
		out, err := exec.Command("sh", "-c", "printf %s "+Word(text)).Output()
		if err != nil || string(out) != text {
			t.Errorf("Word(%q) = %s, and a shell reads %q, %v", text, Word(text), out, err)
		}
	}
	if got := Word("/var/lib/muster"); got != "/var/lib/muster" {
		t.Errorf("a plain word is quoted: %s", got)
	}
}
