package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"

	"muster/internal/fhir"
	"muster/internal/search/index"
	"muster/internal/store"
	"muster/internal/store/cascadesql"
	"muster/internal/store/sqlrows"
	"muster/internal/store/writepath"
)

// writeChunk writes changes of different resources, with what inherits another state by them. It
// reports whether such resources are left for slices. Each step handles the whole chunk: a
// statement for each resource would cost more than the writing itself.
func (tx *writeTx) writeChunk(ctx context.Context, changes []store.Change) (outcomes []store.Outcome, left bool, err error) {
	items := writepath.Items(changes)
	for _, step := range []func(context.Context, []writepath.Item) error{tx.findCurrent, tx.revise, tx.decide} {
		if err := step(ctx, items); err != nil {
			return nil, false, err
		}
	}
	if cascade := tx.cascade(); cascade != nil {
		left, err = cascade.Chunk(ctx, items)
	} else {
		err = tx.writeItems(ctx, items)
	}
	if err != nil {
		return nil, false, err
	}
	return writepath.Outcomes(items), left, nil
}

// writeItems writes items whose outcomes are known.
func (tx *writeTx) writeItems(ctx context.Context, items []writepath.Item) error {
	for _, step := range []func(context.Context, []writepath.Item) error{
		tx.keepVersions, tx.remove, tx.assignKeys, tx.writeRows, tx.count, tx.log, tx.writeEntries, tx.deleteTexts,
	} {
		if err := step(ctx, items); err != nil {
			return err
		}
	}
	return nil
}

// findCurrent looks up the current rows.
func (tx *writeTx) findCurrent(ctx context.Context, items []writepath.Item) error {
	return tx.lookUp(ctx, items, tx.w.stmts.findCurrent, func(*writepath.Item) bool { return true },
		func(rows *sql.Rows, items []writepath.Item) error {
			var i int
			var key store.RowKey
			var version int64
			var committed fhir.Instant
			var hash []byte
			var before, own, inherited index.Visibility
			if err := rows.Scan(&i, &key, &version, &committed, &hash, &before, &own, &inherited); err != nil {
				return err
			}
			it := &items[i]
			it.Key, it.Version, it.Committed, it.Hash = key, version, committed, hash
			it.Before, it.Own, it.Inherited, it.Inherits = before, own, inherited, inherited != 0
			return nil
		})
}

// lookUp runs a statement once for each type, for those items that filter accepts. The
// arguments are the type and a JSON array of ids. The first column of a result row is the
// index of the id in the array.
func (tx *writeTx) lookUp(ctx context.Context, items []writepath.Item, query *sql.Stmt, filter func(*writepath.Item) bool,
	scan func(rows *sql.Rows, items []writepath.Item) error) error {
	for _, t := range fhir.Types() {
		var ofType []writepath.Item
		var at []int
		var ids []string
		for i := range items {
			if items[i].Type == t && filter(&items[i]) {
				ofType, at, ids = append(ofType, items[i]), append(at, i), append(ids, items[i].ID)
			}
		}
		if len(ids) == 0 {
			continue
		}
		if err := tx.each(ctx, query, func(rows *sql.Rows) error { return scan(rows, ofType) }, t, asJSON(ids)); err != nil {
			return err
		}
		for i, place := range at {
			items[place] = ofType[i]
		}
	}
	return nil
}

// revise calls the revisions with the current versions.
func (tx *writeTx) revise(ctx context.Context, items []writepath.Item) error {
	keys := writepath.RevisedKeys(items)
	if len(keys) == 0 {
		return nil
	}
	var v version
	var tail sql.RawBytes
	var sum sql.NullInt64
	return tx.each(ctx, tx.w.stmts.currentDocs, func(rows *sql.Rows) error {
		if err := v.scan(rows, &tail, &sum); err != nil {
			return err
		}
		if err := v.verify(); err != nil {
			return err
		}
		line, err := cascadesql.OwnLine(&v.row, v.body, tail, sum)
		if err != nil {
			return err
		}
		return writepath.Revise(items, &v.row, line, v.body)
	}, asJSON(keys))
}

func (tx *writeTx) decide(_ context.Context, items []writepath.Item) error {
	writepath.Decide(items)
	return nil
}

// keepVersions copies the versions that end to history if a live job needs them.
func (tx *writeTx) keepVersions(ctx context.Context, items []writepath.Item) error {
	keys := writepath.Keys(items, store.Updated, store.Removed)
	if len(keys) == 0 || tx.horizon == 0 {
		return nil
	}
	return tx.exec(ctx, tx.w.stmts.keepVersions, tx.committed, asJSON(keys), tx.horizon)
}

// remove deletes the rows of the removed resources and inserts their tombstones.
func (tx *writeTx) remove(ctx context.Context, items []writepath.Item) error {
	removed := writepath.Keys(items, store.Removed)
	if len(removed) == 0 {
		return nil
	}
	keys := asJSON(removed)
	if err := tx.exec(ctx, tx.w.stmts.insertTombstones, tx.committed, keys); err != nil {
		return err
	}
	if err := tx.unlinkTexts(ctx, keys); err != nil {
		return err
	}
	for _, s := range tx.w.stmts.deleteRows {
		if err := tx.exec(ctx, s, keys); err != nil {
			return err
		}
	}
	return nil
}

// assignKeys assigns row keys to the created resources. If a resource was removed before,
// its version numbers continue, so that no version id is used twice. If its tombstone may have
// been swept, they begin above all that were.
func (tx *writeTx) assignKeys(ctx context.Context, items []writepath.Item) error {
	isCreated := func(it *writepath.Item) bool { return it.Outcome == store.Created }
	err := tx.lookUp(ctx, items, tx.w.stmts.findTombstones, isCreated, func(rows *sql.Rows, items []writepath.Item) error {
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
		ofType := created[t]
		if len(ofType) == 0 {
			continue
		}
		var last int64
		if err := tx.tx.StmtContext(ctx, tx.w.stmts.nextKeys).QueryRowContext(ctx, len(ofType), t).Scan(&last); err != nil {
			return fmt.Errorf("assign row keys: %w", err)
		}
		writepath.AssignKeys(ofType, last)
	}
	return nil
}

// writeRows writes the rows and documents of new versions.
func (tx *writeTx) writeRows(ctx context.Context, items []writepath.Item) error {
	resources := tx.newInserter(tx.w.stmts.resource)
	docs := tx.newInserter(tx.w.stmts.doc)
	for i := range items {
		it := &items[i]
		if !it.Written() {
			continue
		}
		row, line := writepath.NewRow(it, tx.committed)
		if err := resources.add(ctx, int64(row.Key), int64(it.Type), row.ID, row.Version, int64(row.Committed), int64(row.LastUpdated),
			int64(it.RowState()), int64(it.Visibility), int64(it.Inherited), row.Size, it.SourceHash[:], row.Sum(line)); err != nil {
			return err
		}
		if err := docs.add(ctx, int64(it.Key), line); err != nil {
			return err
		}
	}
	if err := resources.flush(ctx); err != nil {
		return err
	}
	return docs.flush(ctx)
}

// count changes the numbers of resources.
func (tx *writeTx) count(ctx context.Context, items []writepath.Item) error {
	for _, c := range writepath.CountChanges(items) {
		if err := tx.exec(ctx, tx.w.stmts.count, int64(c.Type), int64(c.Visibility), c.By); err != nil {
			return err
		}
	}
	return nil
}

// log writes the entries of the change log.
func (tx *writeTx) log(ctx context.Context, items []writepath.Item) error {
	in := tx.newInserter(tx.w.stmts.change)
	for _, e := range writepath.Logged(items) {
		if err := in.add(ctx, int64(tx.committed), int64(e.Key), int64(e.What)); err != nil {
			return err
		}
	}
	return in.flush(ctx)
}

// writeEntries writes the index rows of new versions. For updated resources it writes only
// the difference to the stored rows.
func (tx *writeTx) writeEntries(ctx context.Context, items []writepath.Item) error {
	compared := writepath.Compared(items)
	nameID := func(text string) (int64, error) { return tx.nameID(ctx, text) }
	for _, table := range writepath.Tables {
		statements := tx.w.stmts.entries[table]
		missing, err := table.Rows(items, nameID)
		if err != nil {
			return err
		}
		if len(compared) > 0 {
			if missing, err = tx.deleteExtra(ctx, table, missing, compared); err != nil {
				return err
			}
		}
		if err := tx.insertEntries(ctx, table, statements.insert, missing); err != nil {
			return err
		}
		added, gone, err := table.Differences(items, nameID)
		if err != nil {
			return err
		}
		if err := tx.deleteEntries(ctx, table, gone); err != nil {
			return err
		}
		if err := tx.insertEntries(ctx, table, statements.restore, added); err != nil {
			return err
		}
	}
	return nil
}

// deleteExtra deletes the stored index rows of updated resources that are not wanted, and
// returns the wanted rows that are not stored.
func (tx *writeTx) deleteExtra(ctx context.Context, table *writepath.Table, wanted []writepath.Row, updated []store.RowKey) ([]writepath.Row, error) {
	var stored []writepath.Row
	err := tx.each(ctx, tx.w.stmts.entries[table].ofRows, func(rows *sql.Rows) error {
		var r writepath.Row
		err := rows.Scan(table.Fields(&r)...)
		stored = append(stored, r)
		return err
	}, asJSON(updated))
	if err != nil {
		return nil, err
	}
	missing, extra := writepath.Diff(wanted, stored)
	return missing, tx.deleteEntries(ctx, table, extra)
}

// deleteEntries deletes index rows, those with the same value at once.
func (tx *writeTx) deleteEntries(ctx context.Context, table *writepath.Table, rows []writepath.Row) error {
	tx.unlinked = append(tx.unlinked, table.Texts(rows)...)
	for value, keys := range writepath.ByValue(rows) {
		args := table.Values(nil, value)
		args[0] = asJSON(keys)
		if err := tx.exec(ctx, tx.w.stmts.entries[table].delete, args...); err != nil {
			return err
		}
	}
	return nil
}

func (tx *writeTx) insertEntries(ctx context.Context, table *writepath.Table, into insert, entries []writepath.Row) error {
	in := tx.newInserter(into)
	for _, r := range entries {
		in.args = table.Values(in.args, r)
		if err := in.added(ctx); err != nil {
			return err
		}
	}
	if err := in.flush(ctx); err != nil {
		return err
	}
	return tx.insertTexts(ctx, table.Texts(entries))
}

// nameID returns the id of a text in table name. It inserts a text that is new.
func (tx *writeTx) nameID(ctx context.Context, text string) (int64, error) {
	if id, ok := tx.w.nameIDs[text]; ok {
		return id, nil
	}
	var id int64
	err := tx.tx.StmtContext(ctx, tx.w.stmts.name).QueryRowContext(ctx, text).Scan(&id)
	if err != nil {
		return 0, fmt.Errorf("insert the name %q: %w", text, err)
	}
	if tx.w.nameIDs == nil {
		tx.w.nameIDs = map[string]int64{}
	}
	tx.w.nameIDs[text] = id
	return id, nil
}

// each runs a prepared query and calls scan for each row.
func (tx *writeTx) each(ctx context.Context, s *sql.Stmt, scan func(*sql.Rows) error, args ...any) error {
	rows, err := tx.tx.StmtContext(ctx, s).QueryContext(ctx, args...)
	if err != nil {
		return err
	}
	return sqlrows.Each(rows, scan)
}

func (tx *writeTx) exec(ctx context.Context, s *sql.Stmt, args ...any) error {
	_, err := tx.tx.StmtContext(ctx, s).ExecContext(ctx, args...)
	return err
}

// asJSON writes a list of keys or ids as a JSON array, for json_each.
func asJSON(list any) string {
	text, err := json.Marshal(list)
	if err != nil {
		return "[]" // cannot happen: a list of numbers or strings always marshals
	}
	return string(text)
}
