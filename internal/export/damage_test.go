package export

import (
	"database/sql"
	"path/filepath"
	"strings"
	"testing"

	"muster/internal/damage"
	"muster/internal/store"

	_ "modernc.org/sqlite" // the driver "sqlite"
)

// TestDamageFailsTheJobAtOnce damages what an export reads, at each of its stages. The job fails
// at its first attempt, the client reads that data are damaged and nothing else, the damage is
// counted, and exports of other types continue.
func TestDamageFailsTheJobAtOnce(t *testing.T) {
	for name, c := range map[string]struct {
		file, statement string
		kind            damage.Kind
	}{
		"text":     {"directory.db", `UPDATE doc SET body = CAST(replace(CAST(body AS TEXT), '"id"', '"ie"') AS BLOB)`, damage.Row},
		"row":      {"directory.db", `UPDATE resource SET version = 7 WHERE rowid % 3 = 0`, damage.Row},
		"lost row": {"directory.db", `DELETE FROM resource WHERE row_key = (SELECT max(row_key) FROM resource)`, damage.Count},
		"hidden":   {"directory.db", `UPDATE resource SET visibility = 1 WHERE row_key = (SELECT max(row_key) FROM resource)`, damage.Count},
		"request":  {"jobs.db", `UPDATE job SET request = CAST(replace(CAST(request AS TEXT), 'Practitioner', 'Organization') AS BLOB)`, damage.Selection},
	} {
		t.Run(name, func(t *testing.T) {
			observed := newObserver()
			b := newFixture(t, func(config *Config) { config.Observer = observed })
			b.fill(20)
			id := b.kickOff("Practitioner")
			db, err := sql.Open("sqlite", filepath.Join(filepath.Dir(b.filesDir()), c.file))
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			if _, err := db.Exec(c.statement); err != nil {
				t.Fatal(err)
			}
			stop := start(t, b.Service)
			defer stop()
			status := b.wait(b.Service, id)
			if status.State != store.Failed || !strings.HasPrefix(status.Reason, "Data of the server are damaged, and the server has reported this to its operator.") {
				t.Errorf("%s: %q", status.State, status.Reason)
			}
			if other := b.wait(b.Service, b.kickOff("Endpoint")); other.State != store.Complete {
				t.Errorf("another export: %s %q", other.State, other.Reason)
			}
			stop()
			if got := observed.all(); got["damaged "+string(c.kind)] == 0 || got["ended failed"] != 1 || got["ended complete"] != 1 {
				t.Errorf("observed %v", got)
			}
		})
	}
}
