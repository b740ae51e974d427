package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"

	"muster/internal/fhir"
	"muster/internal/search/index"
	"muster/internal/store"
	"muster/internal/store/writepath"
)

// apply writes a chunk of changes, each to another resource. The work is done by
// steps over the whole chunk, since a statement for each resource would cost
// more than the writing itself.
func (b *stay) apply(ctx context.Context, changes []store.Change) ([]store.Outcome, error) {
	items := writepath.Items(changes)
	for _, step := range []func(context.Context, []writepath.Item) error{
		b.findCurrent, b.revise, b.decide, b.keepVersions, b.remove, b.allotKeys, b.writeRows, b.writeEntries, b.dropTexts,
	} {
		if err := step(ctx, items); err != nil {
			return nil, err
		}
	}
	return writepath.Outcomes(items), nil
}

// findCurrent looks up the current rows.
func (b *stay) findCurrent(ctx context.Context, items []writepath.Item) error {
	return b.lookUp(ctx, items, b.w.text.findCurrent, func(*writepath.Item) bool { return true },
		func(rows *sql.Rows, items []writepath.Item) error {
			var i int
			var key store.RowKey
			var version int64
			var hash []byte
			if err := rows.Scan(&i, &key, &version, &hash); err != nil {
				return err
			}
			items[i].Key, items[i].Version, items[i].Hash = key, version, hash
			return nil
		})
}

// lookUp runs a statement with the arguments type and JSON array of ids, once for
// each type. In its rows, the first column is the place of the id in the array.
func (b *stay) lookUp(ctx context.Context, items []writepath.Item, query *sql.Stmt, want func(*writepath.Item) bool,
	row func(rows *sql.Rows, items []writepath.Item) error) error {
	for _, t := range fhir.Types() {
		var some []writepath.Item
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

// revise lets the revisions make their new versions from the current ones.
func (b *stay) revise(ctx context.Context, items []writepath.Item) error {
	keys := writepath.Revising(items)
	if len(keys) == 0 {
		return nil
	}
	return b.each(ctx, b.w.text.currentDocs, func(rows *sql.Rows) error {
		var key store.RowKey
		var body sql.RawBytes
		var state int64
		if err := rows.Scan(&key, &state, &body); err != nil {
			return err
		}
		return writepath.Revise(items, key, store.Current{Visibility: index.Visibility(state), Line: body})
	}, asJSON(keys))
}

func (b *stay) decide(_ context.Context, items []writepath.Item) error {
	writepath.Decide(items)
	return nil
}

// keepVersions copies the versions that are about to end to history, if a live
// job needs them.
func (b *stay) keepVersions(ctx context.Context, items []writepath.Item) error {
	keys := writepath.Keys(items, store.Updated, store.Removed)
	if len(keys) == 0 || b.horizon == 0 {
		return nil
	}
	return b.exec(ctx, b.w.text.keepVersions, b.now, asJSON(keys), b.horizon)
}

// remove takes away the removed resources and leaves tombstones.
func (b *stay) remove(ctx context.Context, items []writepath.Item) error {
	removed := writepath.Keys(items, store.Removed)
	if len(removed) == 0 {
		return nil
	}
	keys := asJSON(removed)
	if err := b.exec(ctx, b.w.text.bury, b.now, keys); err != nil {
		return err
	}
	if err := b.leaveTexts(ctx, keys); err != nil {
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
func (b *stay) allotKeys(ctx context.Context, items []writepath.Item) error {
	isCreated := func(it *writepath.Item) bool { return it.Outcome == store.Created }
	err := b.lookUp(ctx, items, b.w.text.findBuried, isCreated, func(rows *sql.Rows, items []writepath.Item) error {
		var i int
		var version int64
		if err := rows.Scan(&i, &version); err != nil {
			return err
		}
		items[i].Version = version
		return nil
	})
	if err != nil {
		return err
	}
	created := writepath.Created(items)
	for _, t := range fhir.Types() {
		fresh := created[t]
		if len(fresh) == 0 {
			continue
		}
		var last int64
		if err := b.tx.StmtContext(ctx, b.w.text.nextKeys).QueryRowContext(ctx, len(fresh), t).Scan(&last); err != nil {
			return fmt.Errorf("allot row keys: %w", err)
		}
		writepath.Allot(fresh, last)
	}
	return nil
}

// writeRows writes the rows and documents of new versions.
func (b *stay) writeRows(ctx context.Context, items []writepath.Item) error {
	resources := b.rows(ctx, b.w.text.resource)
	docs := b.rows(ctx, b.w.text.doc)
	for i := range items {
		it := &items[i]
		if !it.Written() {
			continue
		}
		version, updated := it.Version+1, it.LastUpdatedAt(b.now)
		line := it.Document.Line(version, updated)
		resources.add(int64(it.Key), int64(it.Type), it.ID, version, int64(b.now), int64(updated),
			int64(it.Visibility), int64(it.Visibility), int64(len(line)+1), it.SourceHash[:])
		docs.add(int64(it.Key), line)
	}
	if err := resources.flush(); err != nil {
		return err
	}
	return docs.flush()
}

// writeEntries writes the index rows of new versions, and for updates only what
// differs from the rows that are there.
func (b *stay) writeEntries(ctx context.Context, items []writepath.Item) error {
	updated := writepath.Keys(items, store.Updated)
	for _, table := range writepath.Tables {
		want, err := table.Wanted(items, func(text string) (int64, error) { return b.nameID(ctx, text) })
		if err != nil {
			return err
		}
		if len(updated) > 0 {
			if want, err = b.removeExtra(ctx, table, want, updated); err != nil {
				return err
			}
		}
		if err := b.insertEntries(ctx, table, want); err != nil {
			return err
		}
	}
	return nil
}

// removeExtra deletes from the table what the updated rows have and should not,
// and returns what they lack.
func (b *stay) removeExtra(ctx context.Context, table *writepath.Table, want []writepath.Row, updated []store.RowKey) ([]writepath.Row, error) {
	var there []writepath.Row
	err := b.each(ctx, b.w.text.entries[table].ofRows, func(rows *sql.Rows) error {
		var r writepath.Row
		err := rows.Scan(table.Fields(&r)...)
		there = append(there, r)
		return err
	}, asJSON(updated))
	if err != nil {
		return nil, err
	}
	missing, extra := writepath.Difference(want, there)
	b.left = append(b.left, table.Texts(extra)...)
	for _, r := range extra {
		if err := b.exec(ctx, b.w.text.entries[table].remove, table.Values(nil, r)...); err != nil {
			return nil, err
		}
	}
	return missing, nil
}

func (b *stay) insertEntries(ctx context.Context, table *writepath.Table, want []writepath.Row) error {
	in := b.rows(ctx, b.w.text.entries[table].insert)
	for _, r := range want {
		in.args = table.Values(in.args, r)
		in.added()
	}
	if err := in.flush(); err != nil {
		return err
	}
	return b.writeTexts(ctx, table.Texts(want))
}

// nameID returns the number of a text of table name, adding it if need be.
func (b *stay) nameID(ctx context.Context, text string) (int64, error) {
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

func (b *stay) exec(ctx context.Context, s *sql.Stmt, args ...any) error {
	_, err := b.tx.StmtContext(ctx, s).ExecContext(ctx, args...)
	return err
}

func (b *stay) each(ctx context.Context, s *sql.Stmt, row func(*sql.Rows) error, args ...any) error {
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
