package storetest

import (
	"fmt"
	"strings"
	"testing"

	"muster/internal/damage"
	"muster/internal/fhir"
	"muster/internal/search/index"
	"muster/internal/search/plan"
	"muster/internal/store"
)

// DamagedDirectory is a directory that a test damages while it is open.
type DamagedDirectory struct {
	Store IndexerStore
	// Run runs statements on its database, as another program would.
	Run func(statements ...string)
	// Body is an expression of SQL: the format %s is a text, and the result a body.
	Body string
	// Versions is the table of the versions of the schema.
	Versions string
	// Reopen opens the directory again.
	Reopen func() IndexerStore
}

// Damage runs the suite of damaged rows. open opens an empty directory with a clock.
func Damage(t *testing.T, open func(t *testing.T) DamagedDirectory) {
	for _, c := range []struct {
		name string
		test func(*testing.T, DamagedDirectory)
	}{
		{"ChangedVersionsAreNotRead", testChangedVersions},
		{"ChangedOldVersionsAreNotRead", testChangedOldVersions},
		{"LostRowsAreNoticed", testLostRows},
		{"CountsFollowTheWrites", testCountsFollow},
		{"OlderDirectoriesGetChecksums", testOlderDirectory},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, open(t)) })
	}
}

// wantDamage checks that an error reports damage of a kind, with a reason for clients that names
// nothing.
func wantDamage(t *testing.T, what string, err error, kind damage.Kind) {
	t.Helper()
	got, _ := damage.KindOf(err)
	if got != kind {
		t.Errorf("%s: %v, want damage of a %s", what, err, kind)
	}
}

// replaced returns an expression: the body with a text replaced.
func (d DamagedDirectory) replaced(from, to string) string {
	return fmt.Sprintf(d.Body, fmt.Sprintf("replace(CAST(body AS text), '%s', '%s')", from, to))
}

// locations are three resources; the functions of the suite damage the second one.
func (d DamagedDirectory) locations(t *testing.T) (keys []store.RowKey) {
	t.Helper()
	for n := range 3 {
		if _, err := d.Store.Apply(t.Context(), []store.Change{put(fhir.Location, fmt.Sprint("l", n), fmt.Sprint("text ", n))}); err != nil {
			t.Fatal(err)
		}
		keys = append(keys, store.Key(fhir.Location, int64(n)+1))
	}
	return keys
}

// readAll reads the keys in the ways in which bodies are read for clients, and returns the errors.
func readAll(t *testing.T, s store.Store, keys []store.RowKey, at fhir.Instant) map[string]error {
	sparse := []store.RowKey{keys[len(keys)-1], keys[0]}
	return map[string]error{
		"ReadAsOf":         s.ReadAsOf(t.Context(), keys, at, func(store.RowKey, []byte) error { return nil }),
		"ReadAsOf, sparse": s.ReadAsOf(t.Context(), sparse, at, func(store.RowKey, []byte) error { return nil }),
		"Bodies":           s.Bodies(t.Context(), keys, func(store.Row, []byte) error { return nil }),
		"EachCurrent":      s.EachCurrent(t.Context(), keys[0].Type(), func(store.Held) error { return nil }),
		"Revise": func() error {
			_, err := s.Apply(t.Context(), []store.Change{{Type: fhir.Location, ID: "l1", Revise: func(store.Current, *store.Change) (bool, error) { return false, nil }}})
			return err
		}(),
	}
}

func testChangedVersions(t *testing.T, d DamagedDirectory) {
	keys := d.locations(t)
	good, bad := []store.RowKey{keys[0], keys[2]}, keys[1:2]
	for name, change := range map[string]string{
		"version":     `UPDATE resource SET version = version + 1 WHERE id = 'l1'`,
		"committed":   `UPDATE resource SET committed = committed - 1 WHERE id = 'l1'`,
		"lastUpdated": `UPDATE resource SET last_updated = last_updated + 1 WHERE id = 'l1'`,
		"visibility":  `UPDATE resource SET visibility = 1 WHERE id = 'l1'`,
		"size":        `UPDATE resource SET size = size + 1 WHERE id = 'l1'`,
		"checksum":    `UPDATE resource SET checksum = checksum - 1 WHERE id = 'l1'`,
		"body":        `UPDATE doc SET body = ` + d.replaced("text 1", "text 2") + fmt.Sprintf(` WHERE row_key = %d`, bad[0]),
		"other body":  `UPDATE doc SET body = ` + fmt.Sprintf(`(SELECT o.body FROM doc AS o WHERE o.row_key = %d) WHERE row_key = %d`, good[0], bad[0]),
		"empty body":  `UPDATE doc SET body = ` + fmt.Sprintf(d.Body, `''`) + fmt.Sprintf(` WHERE row_key = %d`, bad[0]),
	} {
		t.Run(name, func(t *testing.T) {
			d.Run(`CREATE TABLE kept AS SELECT r.*, d.body FROM resource AS r JOIN doc AS d ON d.row_key = r.row_key WHERE r.id = 'l1'`, change)
			for how, err := range readAll(t, d.Store, bad, fhir.Forever) {
				wantDamage(t, how, err, damage.Row)
			}
			for _, how := range []string{"ReadAsOf", "Bodies"} {
				if err := readAll(t, d.Store, good, fhir.Forever)[how]; err != nil {
					t.Errorf("%s of other rows: %v", how, err)
				}
			}
			d.Run(`UPDATE resource SET version = k.version, committed = k.committed, last_updated = k.last_updated, visibility = k.visibility,
				size = k.size, checksum = k.checksum FROM kept AS k WHERE resource.row_key = k.row_key`,
				`UPDATE doc SET body = k.body FROM kept AS k WHERE doc.row_key = k.row_key`, `DROP TABLE kept`)
			for how, err := range readAll(t, d.Store, keys, fhir.Forever) {
				if err != nil {
					t.Errorf("after the repair, %s: %v", how, err)
				}
			}
		})
	}
}

func testChangedOldVersions(t *testing.T, d DamagedDirectory) {
	keys := d.locations(t)
	snapshot, err := d.Store.OpenSnapshot(t.Context(), noPin)
	if err != nil {
		t.Fatal(err)
	}
	at := snapshot.Time()
	if err := snapshot.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := pinned(t, d.Store, at); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Store.Apply(t.Context(), []store.Change{put(fhir.Location, "l1", "later"), put(fhir.Location, "l1", "last")}); err != nil {
		t.Fatal(err)
	}
	read := func() error {
		return d.Store.ReadAsOf(t.Context(), keys, at, func(store.RowKey, []byte) error { return nil })
	}
	if err := read(); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string][2]string{
		"id":          {`id = 'l2'`, `id = 'l1'`},
		"version":     {`version = 7`, `version = 1`},
		"lastUpdated": {`last_updated = last_updated + 1`, `last_updated = last_updated - 1`},
		"visibility":  {`visibility = 2`, `visibility = 0`},
		"body":        {`body = ` + d.replaced("text 1", "text 2"), `body = ` + d.replaced("text 2", "text 1")},
		"lost":        {`committed = committed + 999999999999`, `committed = committed - 999999999999`},
	} {
		where := fmt.Sprintf(` WHERE row_key = %d`, keys[1])
		d.Run(`UPDATE history SET ` + change[0] + where)
		wantDamage(t, name, read(), damage.Row)
		d.Run(`UPDATE history SET ` + change[1] + where)
		if err := read(); err != nil {
			t.Errorf("after the repair of the %s: %v", name, err)
		}
	}
}

// pinned stores a live job that reads the directory as of a time.
func pinned(t *testing.T, s store.Store, at fhir.Instant) (*store.Task, error) {
	if err := s.CreateJob(t.Context(), store.Job{ID: "11111111-1111-1111-1111-111111111111", Owner: "o", Request: []byte("{}"), Created: at}, 0); err != nil {
		return nil, err
	}
	task, err := s.Claim(t.Context(), "w", at, 1<<40, store.Bounds{})
	if err == nil {
		err = s.BeginSelecting(t.Context(), task, at, at)
	}
	return task, err
}

// selectAll returns the error of a selection of all visible resources.
func selectAll(t *testing.T, s store.Store, of fhir.Type, visible plan.Visible) error {
	t.Helper()
	return selects(t, s, of, plan.And{visible})
}

// selects returns the error of a selection with its comparison of numbers.
func selects(t *testing.T, s store.Store, of fhir.Type, root plan.Node) error {
	t.Helper()
	snapshot, err := s.OpenSnapshot(t.Context(), noPin)
	if err != nil {
		t.Fatal(err)
	}
	defer snapshot.Close()
	p := plan.Plan{Type: of, Root: root}
	if err := snapshot.CheckCounts(t.Context(), p); err != nil {
		return err
	}
	return snapshot.Select(t.Context(), p, func(store.RowKey, int64) error { return nil })
}

func testLostRows(t *testing.T, d DamagedDirectory) {
	d.locations(t)
	if _, err := d.Store.Apply(t.Context(), []store.Change{put(fhir.Practitioner, "p", "p")}); err != nil {
		t.Fatal(err)
	}
	everyone := plan.Visible{Active: true, NotSuppressed: true}
	if err := selectAll(t, d.Store, fhir.Location, everyone); err != nil {
		t.Fatal(err)
	}
	d.Run(`UPDATE resource SET visibility = 2 WHERE id = 'l1'`)
	filtered := plan.And{everyone, plan.IDs{"l0"}}
	if err := selects(t, d.Store, fhir.Location, filtered); err != nil {
		t.Errorf("a filtered selection within a minute after the last count: %v", err)
	}
	fresh := d.Reopen()
	wantDamage(t, "a hidden row, by a filtered selection", selects(t, fresh, fhir.Location, filtered), damage.Count)
	if err := fresh.Close(); err != nil {
		t.Fatal(err)
	}
	wantDamage(t, "a hidden row", selectAll(t, d.Store, fhir.Location, everyone), damage.Count)
	d.Run(`DELETE FROM resource WHERE id = 'l1'`)
	wantDamage(t, "a lost row", selectAll(t, d.Store, fhir.Location, plan.Visible{}), damage.Count)
	if err := selectAll(t, d.Store, fhir.Practitioner, everyone); err != nil {
		t.Errorf("another type: %v", err)
	}
	// After a reindex, the rows that are left are all.
	if err := d.Store.Reindex(t.Context(), plainReindexing(d.Store)); err != nil {
		t.Fatal(err)
	}
	if err := selectAll(t, d.Store, fhir.Location, everyone); err != nil {
		t.Errorf("after a reindex: %v", err)
	}
}

// plainReindexing rebuilds an index without entries and changes nothing else.
func plainReindexing(s IndexerStore) store.Reindexing {
	return store.Reindexing{Definitions: s.Info().DefinitionsHash, Rules: s.Info().Rules,
		Extract: func(dst []index.Entry, _ fhir.Type, _ []byte) ([]index.Entry, *store.Change, error) {
			return dst, nil, nil
		}}
}

// testCountsFollow makes each kind of change, and compares the numbers after each.
func testCountsFollow(t *testing.T, d DamagedDirectory) {
	hidden := func(id, text string, v index.Visibility) store.Change {
		c := put(fhir.Location, id, text)
		c.Visibility = v
		return c
	}
	for n, changes := range [][]store.Change{
		{put(fhir.Location, "a", "1"), put(fhir.Location, "b", "1"), put(fhir.Practitioner, "a", "1")},
		{hidden("a", "2", index.Inactive)},
		{hidden("a", "3", index.Inactive|index.Suppressed), hidden("c", "1", index.Suppressed)},
		{put(fhir.Location, "b", "1"), remove(fhir.Location, "x")},
		{remove(fhir.Location, "c"), put(fhir.Location, "a", "4")},
		{put(fhir.Location, "c", "1"), remove(fhir.Practitioner, "a")},
		{{Type: fhir.Location, ID: "b", Revise: func(_ store.Current, c *store.Change) (bool, error) {
			next := hidden("b", "5", index.Suppressed)
			c.Document, c.SourceHash, c.Visibility = next.Document, next.SourceHash, next.Visibility
			return true, nil
		}}},
	} {
		if _, err := d.Store.Apply(t.Context(), changes); err != nil {
			t.Fatal(err)
		}
		for _, of := range []fhir.Type{fhir.Location, fhir.Practitioner} {
			for _, visible := range []plan.Visible{{}, {Active: true}, {NotSuppressed: true}, {Active: true, NotSuppressed: true}} {
				if err := selectAll(t, d.Store, of, visible); err != nil {
					t.Errorf("after step %d, %v of %+v: %v", n, of, visible, err)
				}
			}
		}
	}
}

// testOlderDirectory opens a directory of a program without checksums. Its rows can be read, but
// only those whose text is that of their resource. A reindex gives them checksums.
func testOlderDirectory(t *testing.T, d DamagedDirectory) {
	keys := d.locations(t)
	if err := d.Store.Close(); err != nil {
		t.Fatal(err)
	}
	d.Run(BeforeChecksums(d.Versions)...)
	s := d.Reopen()
	gaps, err := s.Unprotected(t.Context())
	if err != nil || len(gaps) == 0 || !strings.Contains(gaps[0].Remedy, "muster reindex") || s.Info().Checksummed {
		t.Errorf("the gaps of the older directory are %v, %v", gaps, err)
	}
	for how, err := range readAll(t, s, keys, fhir.Forever) {
		if err != nil {
			t.Errorf("%s: %v", how, err)
		}
	}
	if err := selectAll(t, s, fhir.Location, plan.Visible{}); err != nil {
		t.Error(err)
	}
	where := fmt.Sprintf(` WHERE row_key = %d`, keys[1])
	for name, change := range map[string][2]string{
		"a text without an end": {`"}`, `" }`},
		"no JSON":               {`:"text`, `::"text`},
		"another id":            {`"l1"`, `"l2"`},
		"another type":          {`Location`, `Locution`},
		"another version":       {`"versionId":"1"`, `"versionId":"2"`},
	} {
		d.Run(`UPDATE doc SET body = ` + d.replaced(change[0], change[1]) + where)
		wantDamage(t, name, readAll(t, s, keys, fhir.Forever)["ReadAsOf"], damage.Row)
		wantDamage(t, name+", reindexed", s.Reindex(t.Context(), plainReindexing(s)), damage.Row)
		d.Run(`UPDATE doc SET body = ` + d.replaced(change[1], change[0]) + where)
	}
	d.Run(`UPDATE doc SET body = ` + d.replaced("text 1", "test 1") + where) // it is not noticed
	if err := s.Reindex(t.Context(), plainReindexing(s)); err != nil {
		t.Fatal(err)
	}
	if !s.Info().Checksummed {
		t.Error("the reindexed directory is not marked")
	}
	d.Run(`UPDATE doc SET body = ` + d.replaced("test 1", "text 1") + where)
	wantDamage(t, "after the reindex", readAll(t, s, keys, fhir.Forever)["ReadAsOf"], damage.Row)
}

// BeforeChecksums returns the statements that give a database the schema of a program without
// checksums. versions is the table of migrations.
func BeforeChecksums(versions string) []string {
	return []string{
		`DROP TABLE cascade`, `DROP TABLE removed_reference`, `DROP TABLE own_form`, `ALTER TABLE tombstone DROP COLUMN own_visibility`,
		`ALTER TABLE resource ADD COLUMN inherited_from INTEGER`, `DELETE FROM meta WHERE key = 'cascades'`,
		`DROP TABLE swept`, `DROP TABLE restored`, `DROP INDEX tombstone_committed`,
		`DROP TABLE change`, `DROP TABLE resource_count`,
		`ALTER TABLE history DROP COLUMN checksum`, `ALTER TABLE history DROP COLUMN last_updated`, `ALTER TABLE history DROP COLUMN id`,
		`ALTER TABLE resource DROP COLUMN checksum`, `DELETE FROM meta WHERE key = 'checksums'`,
		`DELETE FROM ` + versions + ` WHERE version_id >= 5`,
	}
}
