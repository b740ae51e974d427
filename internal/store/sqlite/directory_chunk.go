package sqlite

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"

	"muster/internal/fhir"
	"muster/internal/search/index"
	"muster/internal/store"
)

// item is one change of a chunk on its way through the steps.
type item struct {
	*store.Change
	outcome store.Outcome
	key     store.RowKey // of the current row, or the new one; 0 if there is none
	version int64        // of the current row, or the last removal; 0 if there is none
	hash    []byte       // of the current row
}

// apply writes a chunk of changes, each to another resource. The work is done by
// steps over the whole chunk, since a statement for each resource would cost
// more than the writing itself.
func (b *batch) apply(ctx context.Context, changes []store.Change) ([]store.Outcome, error) {
	items := make([]item, len(changes))
	for i := range changes {
		items[i].Change = &changes[i]
	}
	for _, step := range []func(context.Context, []item) error{
		b.findCurrent, b.decide, b.keepVersions, b.remove, b.allotKeys, b.writeRows, b.writeEntries,
	} {
		if err := step(ctx, items); err != nil {
			return nil, err
		}
	}
	outcomes := make([]store.Outcome, len(items))
	for i := range items {
		outcomes[i] = items[i].outcome
	}
	return outcomes, nil
}

// findCurrent looks up the current rows.
func (b *batch) findCurrent(ctx context.Context, items []item) error {
	return b.lookUp(ctx, items, b.w.text.findCurrent, func(*item) bool { return true },
		func(rows *sql.Rows, items []item) error {
			var i int
			var key store.RowKey
			var version int64
			var hash []byte
			if err := rows.Scan(&i, &key, &version, &hash); err != nil {
				return err
			}
			items[i].key, items[i].version, items[i].hash = key, version, hash
			return nil
		})
}

// lookUp runs a statement with the arguments type and JSON array of ids, once for
// each type. In its rows, the first column is the place of the id in the array.
func (b *batch) lookUp(ctx context.Context, items []item, query *sql.Stmt, want func(*item) bool,
	row func(rows *sql.Rows, items []item) error) error {
	for _, t := range fhir.Types() {
		var some []item
		var at []int
		var ids []string
		for i := range items {
			if items[i].Type == t && want(&items[i]) {
				some, at, ids = append(some, items[i]), append(at, i), append(ids, items[i].ID)
			}
		}
		if len(ids) == 0 {
			continue
		}
		if err := b.each(ctx, query, func(rows *sql.Rows) error { return row(rows, some) }, t, asJSON(ids)); err != nil {
			return err
		}
		for i, place := range at {
			items[place] = some[i]
		}
	}
	return nil
}

// decide finds the outcome of each change.
func (b *batch) decide(_ context.Context, items []item) error {
	for i := range items {
		it := &items[i]
		switch {
		case it.Remove && it.key == 0:
			it.outcome = store.Absent
		case it.Remove:
			it.outcome = store.Removed
		case it.key == 0:
			it.outcome = store.Created
		case bytes.Equal(it.hash, it.SourceHash[:]):
			it.outcome = store.Unchanged
		default:
			it.outcome = store.Updated
		}
	}
	return nil
}

// keysOf returns the row keys of the items with one of the outcomes, as JSON.
func keysOf(items []item, outcomes ...store.Outcome) (list string, n int) {
	var keys []store.RowKey
	for i := range items {
		for _, o := range outcomes {
			if items[i].outcome == o {
				keys = append(keys, items[i].key)
			}
		}
	}
	return asJSON(keys), len(keys)
}

// keepVersions copies the versions that are about to end to history, if a live
// job needs them.
func (b *batch) keepVersions(ctx context.Context, items []item) error {
	keys, n := keysOf(items, store.Updated, store.Removed)
	if n == 0 || b.horizon == 0 {
		return nil
	}
	return b.exec(ctx, b.w.text.keepVersions, b.now, keys, b.horizon)
}

// remove takes away the removed resources and leaves tombstones.
func (b *batch) remove(ctx context.Context, items []item) error {
	keys, n := keysOf(items, store.Removed)
	if n == 0 {
		return nil
	}
	if err := b.exec(ctx, b.w.text.bury, b.now, keys); err != nil {
		return err
	}
	for _, s := range b.w.text.removeRows {
		if err := b.exec(ctx, s, keys); err != nil {
			return err
		}
	}
	return nil
}

// allotKeys gives the created resources their row keys. The version of one that
// was removed before goes on counting, so that no version id comes twice.
func (b *batch) allotKeys(ctx context.Context, items []item) error {
	created := func(it *item) bool { return it.outcome == store.Created }
	err := b.lookUp(ctx, items, b.w.text.findBuried, created, func(rows *sql.Rows, items []item) error {
		var i int
		var version int64
		if err := rows.Scan(&i, &version); err != nil {
			return err
		}
		items[i].version = version
		return nil
	})
	if err != nil {
		return err
	}
	for _, t := range fhir.Types() {
		var fresh []*item
		for i := range items {
			if items[i].Type == t && created(&items[i]) {
				fresh = append(fresh, &items[i])
			}
		}
		if len(fresh) == 0 {
			continue
		}
		var last int64
		if err := b.tx.StmtContext(ctx, b.w.text.nextKeys).QueryRowContext(ctx, len(fresh), t).Scan(&last); err != nil {
			return fmt.Errorf("allot row keys: %w", err)
		}
		for i, it := range fresh {
			it.key = store.Key(t, last-int64(len(fresh)-1-i))
		}
	}
	return nil
}

// writeRows writes the rows and documents of new versions.
func (b *batch) writeRows(ctx context.Context, items []item) error {
	resources := b.rows(ctx, b.w.text.resource)
	docs := b.rows(ctx, b.w.text.doc)
	for i := range items {
		it := &items[i]
		if it.outcome != store.Created && it.outcome != store.Updated {
			continue
		}
		version := it.version + 1
		updated := b.now
		if it.LastUpdated != nil {
			updated = *it.LastUpdated
		}
		line := it.Document.Line(version, updated)
		resources.add(int64(it.key), int64(it.Type), it.ID, version, int64(b.now), int64(updated),
			int64(it.Visibility), int64(it.Visibility), int64(len(line)+1), it.SourceHash[:])
		docs.add(int64(it.key), line)
	}
	if err := resources.flush(); err != nil {
		return err
	}
	return docs.flush()
}

// writeEntries writes the index rows of new versions, and for updates only what
// differs from the rows that are there.
func (b *batch) writeEntries(ctx context.Context, items []item) error {
	updated, n := keysOf(items, store.Updated)
	for _, table := range indexTables {
		want, err := b.wanted(ctx, table, items)
		if err != nil {
			return err
		}
		if n > 0 {
			if want, err = b.difference(ctx, table, want, updated); err != nil {
				return err
			}
		}
		if err := b.insertEntries(ctx, table, want); err != nil {
			return err
		}
	}
	return nil
}

// wanted returns the rows that the new versions have in an index table, in the
// order of its value index and each once.
func (b *batch) wanted(ctx context.Context, table *indexTable, items []item) ([]indexRow, error) {
	var want []indexRow
	for i := range items {
		if o := items[i].outcome; o != store.Created && o != store.Updated {
			continue
		}
		for j := range items[i].Entries {
			e := &items[i].Entries[j]
			if e.Kind != table.kind {
				continue
			}
			row, err := b.indexRow(ctx, items[i].key, e)
			if err != nil {
				return nil, err
			}
			want = append(want, row)
		}
	}
	return sortRows(want), nil
}

func (b *batch) indexRow(ctx context.Context, key store.RowKey, e *index.Entry) (indexRow, error) {
	r := indexRow{key: key, param: int64(e.Param)}
	var err error
	switch e.Kind {
	case index.Token, index.Reference:
		r.text = e.Code
		r.number, err = b.nameID(ctx, e.System)
	case index.String:
		r.text, r.second = e.Norm, e.Exact
	case index.Date:
		r.number, r.high = int64(e.Period.From), int64(e.Period.To)
	case index.URI:
		r.text = e.Code
	}
	return r, err
}

// difference drops the rows that are there already from want, and deletes from
// the table what is there and not wanted.
func (b *batch) difference(ctx context.Context, table *indexTable, want []indexRow, updated string) ([]indexRow, error) {
	there := map[indexRow]bool{}
	err := b.each(ctx, b.w.text.entries[table].ofRows, func(rows *sql.Rows) error {
		r, err := table.scan(rows)
		there[r] = true
		return err
	}, updated)
	if err != nil {
		return nil, err
	}
	missing := want[:0]
	for _, r := range want {
		if there[r] {
			delete(there, r)
		} else {
			missing = append(missing, r)
		}
	}
	for r := range there {
		if err := b.exec(ctx, b.w.text.entries[table].remove, table.values(nil, r)...); err != nil {
			return nil, err
		}
	}
	return missing, nil
}

func (b *batch) insertEntries(ctx context.Context, table *indexTable, want []indexRow) error {
	in := b.rows(ctx, b.w.text.entries[table].insert)
	for _, r := range want {
		in.args = table.values(in.args, r)
		in.added()
	}
	return in.flush()
}

// nameID returns the number of a text of table name, adding it if need be.
func (b *batch) nameID(ctx context.Context, text string) (int64, error) {
	if id, ok := b.w.names[text]; ok {
		return id, nil
	}
	var id int64
	err := b.tx.StmtContext(ctx, b.w.text.name).QueryRowContext(ctx, text).Scan(&id)
	if err != nil {
		return 0, fmt.Errorf("number the name %q: %w", text, err)
	}
	if b.w.names == nil {
		b.w.names = map[string]int64{}
	}
	b.w.names[text] = id
	return id, nil
}

func (b *batch) exec(ctx context.Context, s *sql.Stmt, args ...any) error {
	_, err := b.tx.StmtContext(ctx, s).ExecContext(ctx, args...)
	return err
}

func (b *batch) each(ctx context.Context, s *sql.Stmt, row func(*sql.Rows) error, args ...any) error {
	rows, err := b.tx.StmtContext(ctx, s).QueryContext(ctx, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := row(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// asJSON writes a list of keys or ids for json_each.
func asJSON(list any) string {
	text, err := json.Marshal(list)
	if err != nil {
		return "[]" // a list of numbers or strings can always be written
	}
	return string(text)
}
