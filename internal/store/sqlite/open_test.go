package sqlite

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"muster/internal/fhir"
	"muster/internal/store"
	"muster/internal/store/storetest"
)

// wantError opens a directory that must be refused, and checks that the error says what is
// wrong and what to do.
func wantError(t *testing.T, dir string, o store.Options, words ...string) {
	t.Helper()
	s, err := Open(t.Context(), dir, o)
	if err == nil {
		_ = s.Close()
		t.Fatalf("no error, want one with %q", words)
	}
	for _, w := range append(words, dir) {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("error %q does not say %q", err, w)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Run("nothing there", func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "absent")
		wantError(t, dir, store.Options{}, "not a data directory", "muster load")
		if _, err := os.Stat(dir); err == nil {
			t.Error("the folder was created")
		}
	})
	t.Run("other files", func(t *testing.T) {
		dir := t.TempDir()
		write(t, filepath.Join(dir, "letter.txt"), "hello")
		wantError(t, dir, store.Options{Create: &testInfo}, "letter.txt", "empty")
	})
	t.Run("not a database", func(t *testing.T) {
		dir := t.TempDir()
		write(t, filepath.Join(dir, directoryFile), strings.Repeat("no database at all. ", 100))
		wantError(t, dir, store.Options{}, "damaged or not a database")
	})
	t.Run("database of another program", func(t *testing.T) {
		dir := initialised(t, `PRAGMA application_id = 1`)
		wantError(t, dir, store.Options{}, "not written by muster")
	})
	t.Run("newer schema", func(t *testing.T) {
		dir := initialised(t, `INSERT INTO goose_db_version (version_id, is_applied) VALUES (9000, 1)`)
		wantError(t, dir, store.Options{}, "version 9000", "newer muster")
	})
	t.Run("interrupted initialisation", func(t *testing.T) {
		dir := initialised(t, `DELETE FROM meta`, `DELETE FROM clock`, `DELETE FROM sequence`)
		wantError(t, dir, store.Options{}, "interrupted", "muster load")
		openTest(t, dir, time.Now)
	})
	for _, c := range []struct {
		field string
		want  store.Identity
		words []string
	}{
		{"mode", store.Identity{Mode: "mirror"}, []string{"authoritative", "mirror", "another directory"}},
		{"base URL", store.Identity{BaseURL: "https://other/fhir"}, []string{"localhost", "https://other/fhir"}},
		{"definitions", store.Identity{DefinitionsHash: "feed"}, []string{"search parameters", "muster reindex"}},
	} {
		t.Run(c.field, func(t *testing.T) {
			dir := initialised(t)
			wantError(t, dir, store.Options{Expect: c.want}, c.words...)
			wantError(t, dir, store.Options{Create: &c.want}, c.words...)
		})
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// initialised returns a data directory after running statements on its directory.db.
func initialised(t *testing.T, statements ...string) string {
	t.Helper()
	dir := t.TempDir()
	s := openTest(t, dir, time.Now)
	for _, text := range statements {
		if _, err := s.writer.db.ExecContext(t.Context(), text); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestReopen(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a folder with % and ? and #")
	s := openTest(t, dir, time.Now)
	if _, err := s.Apply(t.Context(), storetest.Changes(3)); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := Open(t.Context(), dir, store.Options{Expect: store.Identity{BaseURL: testInfo.BaseURL}})
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	want := testInfo
	want.Checksummed = true
	if again.Info() != want || again.Dir() != dir {
		t.Errorf("reopened as %+v in %s", again.Info(), again.Dir())
	}
	counts, err := again.Counts(t.Context())
	if err != nil || counts[fhir.PractitionerRole] != (store.Count{All: 3, Visible: 3}) {
		t.Errorf("counts %v, %v", counts, err)
	}
	outcomes, err := again.Apply(t.Context(), storetest.Changes(3))
	if err != nil || outcomes[0] != store.Unchanged {
		t.Errorf("outcomes %v, %v; want unchanged", outcomes, err)
	}
}

func TestLockServe(t *testing.T) {
	dir := t.TempDir()
	first, err := LockServe(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := LockServe(dir); err == nil || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), "another process") {
		t.Errorf("a second server: %v", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := LockServe(dir)
	if err != nil {
		t.Fatalf("after the first one closed: %v", err)
	}
	_ = again.Close()
}

// TestFilePermissions creates a directory in a folder that all users may enter. Only the owner
// may read its files.
func TestFilePermissions(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	openTest(t, dir, nil)
	files, err := os.ReadDir(dir)
	if err != nil || len(files) < 4 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, f := range files {
		if info, err := f.Info(); err != nil || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v, %v: others may read it", f.Name(), info.Mode(), err)
		}
	}
}

func TestAddressesOfOlderDirectories(t *testing.T) {
	storetest.OlderAddresses(t, "goose_db_version", func(statements ...string) (storetest.Addressed, error) {
		return Open(t.Context(), initialised(t, statements...), store.Options{})
	})
}
