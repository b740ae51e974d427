package main

import (
	"context"
	"os"
	"strings"
	"testing"
)

type fixedSecret string

func (s fixedSecret) Secret(context.Context, string) ([]byte, error) { return []byte(s), nil }

// TestFolderOfAnotherDirectory has two directories served on one folder for files: the
// second is refused, for its janitor would remove the files of the first.
func TestFolderOfAnotherDirectory(t *testing.T) {
	dir := t.TempDir()
	for range 2 { // as often as it likes
		if err := claimFolder(t.Context(), dir, fixedSecret("one")); err != nil {
			t.Fatal(err)
		}
	}
	if err := claimFolder(t.Context(), dir, fixedSecret("two")); err == nil || !strings.Contains(err.Error(), "another database") {
		t.Errorf("the other directory got %v", err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("%d files are left in the folder, %v", len(entries), err)
	}
}
