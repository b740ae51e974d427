package sqlite

import (
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"muster/internal/fhir"
	"muster/internal/store"

	"modernc.org/sqlite"
)

// TestWriterMemory: pages that a batch changes beyond the cache go to the log, and the
// log to the database, so the memory of a writer has a bound whatever is written.
func TestWriterMemory(t *testing.T) {
	s := openTest(t, t.TempDir(), nil)
	const megabytes, mostCached, mostLogged = 192, 72 << 20, 64 << 20
	body := []byte(`,"text":"` + strings.Repeat("x", 1<<20) + `"}`)
	var logged int64
	for i := range megabytes / 8 {
		var changes []store.Change
		for j := range 8 {
			id := fmt.Sprintf("large-%d-%d", i, j)
			changes = append(changes, store.Change{Type: fhir.Organization, ID: id, Document: store.Document{Head: []byte(`{"id":"` + id + `","meta":{`), Tail: body}})
		}
		if _, err := s.Apply(t.Context(), changes); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(filepath.Join(s.dir, directoryFile+"-wal"))
		if err != nil {
			t.Fatal(err)
		}
		logged = max(logged, info.Size())
	}
	cached := cacheUsed(t, s.writer.db)
	t.Logf("%d MiB cached, %d MiB of log", cached>>20, logged>>20)
	if cached > mostCached || cached < 16<<20 {
		t.Errorf("the writer's cache takes %d MiB, want at most %d and not a few", cached>>20, mostCached>>20)
	}
	if logged > mostLogged {
		t.Errorf("the log grew to %d MiB, want at most %d", logged>>20, mostLogged>>20)
	}
}

// cacheUsed is how many bytes of pages the one connection of db keeps.
func cacheUsed(t *testing.T, db *sql.DB) (bytes int) {
	t.Helper()
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	err = conn.Raw(func(c any) (err error) {
		bytes, _, err = c.(sqlite.DBStatus).Status(sqlite.DBStatusCacheUsed, false)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return bytes
}
