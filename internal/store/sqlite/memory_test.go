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

// TestWriterMemory checks that the memory of a writer and its log are bounded: pages that
// exceed the cache are written to the log, and the log is checkpointed.
func TestWriterMemory(t *testing.T) {
	s := openTest(t, t.TempDir(), nil)
	const megabytes, maxCached, maxLog = 192, 72 << 20, 64 << 20
	body := []byte(`,"text":"` + strings.Repeat("x", 1<<20) + `"}`)
	var log int64
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
		log = max(log, info.Size())
	}
	cached := cacheUsed(t, s.writer.db)
	t.Logf("%d MiB cached, %d MiB of log", cached>>20, log>>20)
	if cached > maxCached || cached < 16<<20 {
		t.Errorf("the writer's cache takes %d MiB, want at most %d, and at least 16", cached>>20, maxCached>>20)
	}
	if log > maxLog {
		t.Errorf("the log grew to %d MiB, want at most %d", log>>20, maxLog>>20)
	}
}

// cacheUsed returns the bytes of pages in the cache of the one connection of db.
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
