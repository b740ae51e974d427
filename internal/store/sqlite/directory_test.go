package sqlite

import (
	"database/sql"
	"os"
	"path/filepath"
	"testing"
	"time"

	"muster/internal/fhir"
	"muster/internal/store"
	"muster/internal/store/storetest"
)

var testInfo = store.Identity{BaseURL: "http://localhost:8080/fhir", Mode: "authoritative", DefinitionsHash: "0123456789abcdef"}

func openTest(t testing.TB, dir string, now func() time.Time) *Store {
	t.Helper()
	s, err := Open(t.Context(), dir, store.Options{Now: now, Create: &testInfo, SearchDeadline: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestDirectory(t *testing.T) {
	storetest.Directory(t, func(t testing.TB, dir string, now func() time.Time) store.Store { return openTest(t, dir, now) })
}

func TestLastTimes(t *testing.T) {
	dir := t.TempDir()
	storetest.LastTimes(t, openTest(t, dir, nil), openTest(t, dir, nil))
}

func TestRestored(t *testing.T) {
	open := func(t testing.TB, dir string, now func() time.Time) store.Store { return openTest(t, dir, now) }
	storetest.Restored(t, open, func(dir string, _ fhir.Instant) func(func() time.Time) store.Store {
		unused, out := t.TempDir(), t.TempDir()
		freezeTo(t, dir, unused)
		freezeTo(t, unused, out) // a backup of a backup that was never used is of the same time
		return func(now func() time.Time) store.Store { return openTest(t, out, now) }
	})
}

func TestReader(t *testing.T) {
	storetest.Reader(t, func(t testing.TB, dir string, now func() time.Time, deadline time.Duration) store.Store {
		s, err := Open(t.Context(), dir, store.Options{Now: now, Create: &testInfo, SearchDeadline: deadline})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		return s
	})
}

func TestIndexer(t *testing.T) {
	storetest.Indexer(t, func(t testing.TB, dir, definitions string, now func() time.Time) (storetest.IndexerStore, error) {
		o := store.Options{Now: now, Expect: store.Identity{DefinitionsHash: definitions}}
		if _, err := os.Stat(filepath.Join(dir, directoryFile)); err != nil {
			o.Create = &testInfo
		}
		s, err := Open(t.Context(), dir, o)
		if err == nil {
			t.Cleanup(func() { _ = s.Close() })
		}
		return s, err
	})
}

func TestCascade(t *testing.T) { storetest.Cascade(t, openCascade) }

func TestCascadeOverDamage(t *testing.T) {
	storetest.CascadeOverDamage(t, openCascade, runSQL)
}

func openCascade(t testing.TB, dir string, o store.Options) (storetest.IndexerStore, error) {
	if _, err := os.Stat(filepath.Join(dir, directoryFile)); err != nil {
		o.Create = &testInfo
	}
	s, err := Open(t.Context(), dir, o)
	if err == nil {
		t.Cleanup(func() { _ = s.Close() })
	}
	return s, err
}

func TestGateWaits(t *testing.T) {
	storetest.GateWaits(t, openWith)
}

func TestLanes(t *testing.T) { storetest.Lanes(t, openWith) }

// openWith opens an empty directory with options.
func openWith(t *testing.T, o store.Options) store.Store {
	t.Helper()
	o.Create = &testInfo
	s, err := Open(t.Context(), t.TempDir(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func BenchmarkDirectory(b *testing.B) {
	storetest.Benchmark(b, func(t testing.TB, dir string, now func() time.Time) store.Store { return openTest(t, dir, now) })
}

func TestDamagedRows(t *testing.T) {
	storetest.Damage(t, func(t *testing.T) storetest.DamagedDirectory {
		dir := t.TempDir()
		return storetest.DamagedDirectory{
			Store: openTest(t, dir, nil), Body: "CAST(%s AS BLOB)", Versions: "goose_db_version",
			Reopen: func() storetest.IndexerStore { return openTest(t, dir, nil) },
			Run:    func(statements ...string) { t.Helper(); runSQL(t, dir, statements...) },
		}
	})
}

// runSQL runs statements on a data directory, as another program would.
func runSQL(t *testing.T, dir string, statements ...string) {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(dir, directoryFile))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, text := range statements {
		if _, err := db.Exec(text); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
}
