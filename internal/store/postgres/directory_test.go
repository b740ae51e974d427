package postgres

import (
	"sync"
	"testing"
	"time"

	"muster/internal/store"
	"muster/internal/store/storetest"
	"muster/internal/testkit/pgtest"
)

var testInfo = store.CreateInfo{BaseURL: "http://localhost:8080/fhir", Mode: "authoritative", DefinitionsHash: "0123456789abcdef"}

// openTest opens a database with a clock, making the directory in it if it is empty.
func openTest(t testing.TB, url string, now func() time.Time) *Store {
	t.Helper()
	s, err := Open(t.Context(), url, store.Options{Now: now, Create: &testInfo})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// databases gives each folder of the suite a database of its own.
type databases struct{ byFolder sync.Map }

func (d *databases) open(t testing.TB, dir string, now func() time.Time) store.Store {
	t.Helper()
	url, known := d.byFolder.Load(dir)
	if !known {
		url = pgtest.Database(t)
		d.byFolder.Store(dir, url)
	}
	return openTest(t, url.(string), now)
}

func TestDirectory(t *testing.T) {
	storetest.Directory(t, new(databases).open)
}

func TestJobs(t *testing.T) {
	storetest.Jobs(t, func(t *testing.T) store.Jobs { return openTest(t, pgtest.Database(t), nil) })
}

func TestIndexer(t *testing.T) {
	var d databases
	storetest.Indexer(t, func(t testing.TB, dir, definitions string, now func() time.Time) (storetest.IndexerStore, error) {
		url, known := d.byFolder.Load(dir)
		if !known {
			url = pgtest.Database(t)
			d.byFolder.Store(dir, url)
		}
		o := store.Options{Now: now, Expect: store.CreateInfo{DefinitionsHash: definitions}}
		if !known {
			o.Create = &testInfo
		}
		s, err := Open(t.Context(), url.(string), o)
		if err == nil {
			t.Cleanup(func() { _ = s.Close() })
		}
		return s, err
	})
}

func TestGateWaits(t *testing.T) {
	storetest.GateWaits(t, func(t *testing.T, o store.Options) store.Store {
		o.Create = &testInfo
		s, err := Open(t.Context(), pgtest.Database(t), o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		return s
	})
}
