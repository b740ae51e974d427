package blob

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestMovedFileIsNew checks that a file that was moved into the folder with its old
// modification time is as old as the move. A time in the future is kept.
func TestMovedFileIsNew(t *testing.T) {
	f, dir := newFolder(t)
	for name, age := range map[string]time.Duration{"past": -48 * time.Hour, "future": 48 * time.Hour} {
		source, at := filepath.Join(t.TempDir(), name), time.Now().Add(age)
		if err := errors.Join(os.WriteFile(source, nil, 0o600), os.Chtimes(source, at, at), os.Rename(source, filepath.Join(dir, name))); err != nil {
			t.Fatal(err)
		}
		err := f.List(t.Context(), func(listed string, changed time.Time) error {
			if old := time.Since(changed); listed == name && (old > time.Minute || (old < -time.Hour) != (age > 0)) {
				t.Errorf("%s: %v old", name, old)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
