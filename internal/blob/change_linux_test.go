package blob

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestMovedFileIsYoung: a file that was moved into the folder, with the times that it had, is as
// old as the move; the janitor counts from then on. A time that is yet to come stays.
func TestMovedFileIsYoung(t *testing.T) {
	f, dir := newFolder(t)
	for name, age := range map[string]time.Duration{"past": -48 * time.Hour, "future": 48 * time.Hour} {
		elsewhere, at := filepath.Join(t.TempDir(), name), time.Now().Add(age)
		if err := errors.Join(os.WriteFile(elsewhere, nil, 0o600), os.Chtimes(elsewhere, at, at), os.Rename(elsewhere, filepath.Join(dir, name))); err != nil {
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
