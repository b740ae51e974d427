package postgres

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"muster/internal/fhir"
	"muster/internal/search/index"
	"muster/internal/store"
	"muster/internal/store/writepath"

	"github.com/jackc/pgx/v5"
)

// The statements of a chunk take arrays. The array is the first item of FROM, and each of
// its elements finds its row by an index: the sessions allow nested loops only.
const (
	findCurrent = `SELECT k.n, r.row_key, r.version, r.committed, r.source_hash, r.visibility & 3, r.own_visibility, r.inherited_visibility
		FROM unnest($1::bigint[], $2::text[]) WITH ORDINALITY AS k (type, id, n)
		JOIN resource AS r ON r.type = k.type AND r.id = k.id`
	findTombstones = `SELECT k.n, greatest((SELECT max(t.version) FROM tombstone AS t WHERE t.type = k.type AND t.id = k.id),
			(SELECT s.version FROM swept AS s WHERE s.type = k.type))
		FROM unnest($1::bigint[], $2::text[]) WITH ORDINALITY AS k (type, id, n)`
	currentDocs = `SELECT ` + versionColumns + `, f.tail, f.checksum FROM unnest($1::bigint[]) AS k
		JOIN resource AS r ON r.row_key = k JOIN doc AS d ON d.row_key = r.row_key
		LEFT JOIN own_form AS f ON f.row_key = r.row_key`
	keepVersions = `INSERT INTO history (row_key, version, committed, superseded, visibility, size, body, id, last_updated, checksum)
		SELECT r.row_key, r.version, r.committed, $1, r.visibility & 3, r.size, d.body, r.id, r.last_updated, r.checksum
		FROM unnest($2::bigint[]) AS k JOIN resource AS r ON r.row_key = k
		JOIN doc AS d ON d.row_key = r.row_key WHERE r.committed <= $3`
	insertTombstones = `INSERT INTO tombstone (type, id, version, row_key, committed, own_visibility)
		SELECT r.type, r.id, r.version + 1, r.row_key, $1, r.own_visibility
		FROM unnest($2::bigint[]) AS k JOIN resource AS r ON r.row_key = k`
	nextKeys = `UPDATE sequence SET last = last + k.n FROM unnest($1::bigint[], $2::bigint[]) AS k (type, n)
		WHERE sequence.type = k.type RETURNING sequence.type, sequence.last`
	insertName = `INSERT INTO name (text) VALUES ($1)
		ON CONFLICT (text) DO UPDATE SET text = excluded.text RETURNING name_id`
	writeResources = `INSERT INTO resource
		(row_key, type, id, version, committed, last_updated, visibility, own_visibility, inherited_visibility, size, source_hash, checksum)
		SELECT k.row_key, k.type, k.id, k.version, $1, k.updated, k.visibility, k.own, k.inherited, k.size, k.hash, k.checksum
		FROM unnest($2::bigint[], $3::bigint[], $4::text[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[], $9::bytea[], $10::bigint[], $11::bigint[], $12::bigint[])
			AS k (row_key, type, id, version, updated, visibility, size, hash, checksum, own, inherited)
		ON CONFLICT (row_key) DO UPDATE SET version = excluded.version, committed = excluded.committed,
		last_updated = excluded.last_updated, visibility = excluded.visibility, own_visibility = excluded.own_visibility,
		inherited_visibility = excluded.inherited_visibility, size = excluded.size, source_hash = excluded.source_hash,
		checksum = excluded.checksum`
	countResources = `INSERT INTO resource_count AS c (type, visibility, number)
		SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[])
		ON CONFLICT (type, visibility) DO UPDATE SET number = c.number + excluded.number`
	logChanges = `INSERT INTO change (committed, row_key, what) SELECT $1, k.* FROM unnest($2::bigint[], $3::smallint[]) AS k`
	writeOwn   = `INSERT INTO own_form (row_key, tail, checksum) SELECT * FROM unnest($1::bigint[], $2::text[], $3::bigint[])
		ON CONFLICT (row_key) DO UPDATE SET tail = excluded.tail, checksum = excluded.checksum`
	writeDocs = `INSERT INTO doc (row_key, body) SELECT * FROM unnest($1::bigint[], $2::text[])
		ON CONFLICT (row_key) DO UPDATE SET body = excluded.body`
)

// resourceTables are the tables that a removal deletes rows from, besides the index tables.
var resourceTables = []string{"resource", "doc", "own_form"}

// writeChunk writes changes of different resources, with what inherits another state by them. It
// reports whether such resources are left for slices. Each step is one round trip to the database,
// however many changes there are.
func (tx *writeTx) writeChunk(ctx context.Context, changes []store.Change) (outcomes []store.Outcome, left bool, err error) {
	items := writepath.Items(changes)
	if err := tx.findCurrent(ctx, items); err != nil {
		return nil, false, err
	}
	if err := tx.revise(ctx, items); err != nil {
		return nil, false, err
	}
	writepath.Decide(items)
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
	for _, step := range []func(context.Context, []writepath.Item) error{tx.endVersions, tx.assignKeys, tx.writeNew} {
		if err := step(ctx, items); err != nil {
			return err
		}
	}
	return nil
}

// findCurrent looks up the current rows.
func (tx *writeTx) findCurrent(ctx context.Context, items []writepath.Item) error {
	var types []int64
	var ids []string
	for i := range items {
		types, ids = append(types, int64(items[i].Type)), append(ids, items[i].ID)
	}
	var n, version, committed int64
	var key, before, own, inherited int64
	var hash []byte
	return tx.each(ctx, findCurrent, []any{&n, &key, &version, &committed, &hash, &before, &own, &inherited}, func() {
		it := &items[n-1]
		it.Key, it.Version, it.Committed, it.Hash = store.RowKey(key), version, fhir.Instant(committed), hash
		it.Before, it.Own, it.Inherited = index.Visibility(before), index.Visibility(own), index.Visibility(inherited)
		it.Inherits = inherited != 0
	}, types, ids)
}

// revise calls the revisions with the current versions.
func (tx *writeTx) revise(ctx context.Context, items []writepath.Item) error {
	keys := writepath.RevisedKeys(items)
	if len(keys) == 0 {
		return nil
	}
	return eachRaw(ctx, tx.conn, currentDocs, func(values [][]byte) error {
		row, line, err := verified(values)
		if err != nil {
			return err
		}
		own, err := ownLine(&row, line, values[versionValues:])
		if err != nil {
			return err
		}
		return writepath.Revise(items, &row, own, line)
	}, int64s(keys))
}

// endVersions copies the versions that end to history if a live job needs them, deletes the
// rows of the removed resources and inserts their tombstones.
func (tx *writeTx) endVersions(ctx context.Context, items []writepath.Item) error {
	queue := &pgx.Batch{}
	if ending := writepath.Keys(items, store.Updated, store.Removed); len(ending) > 0 && tx.horizon > 0 {
		queue.Queue(keepVersions, int64(tx.committed), int64s(ending), int64(tx.horizon))
	}
	if removed := int64s(writepath.Keys(items, store.Removed)); len(removed) > 0 {
		var t writepath.Text
		if err := tx.each(ctx, textsOf, []any{&t.Param, &t.Norm}, func() { tx.unlinked = append(tx.unlinked, t) }, removed); err != nil {
			return err
		}
		queue.Queue(insertTombstones, int64(tx.committed), removed)
		for _, table := range resourceTables {
			queue.Queue(`DELETE FROM `+table+` WHERE row_key = ANY ($1::bigint[])`, removed)
		}
		for _, t := range writepath.Tables {
			queue.Queue(`DELETE FROM `+t.Name+` WHERE row_key = ANY ($1::bigint[])`, removed)
		}
	}
	return tx.send(ctx, queue)
}

// assignKeys assigns row keys to the created resources. If a resource was removed before,
// its version numbers continue, so that no version id is used twice. If its tombstone may have
// been swept, they begin above all that were.
func (tx *writeTx) assignKeys(ctx context.Context, items []writepath.Item) error {
	created := writepath.Created(items)
	if len(created) == 0 {
		return nil
	}
	var inOrder []*writepath.Item
	var types, counts, typeOf []int64
	var ids []string
	for _, t := range fhir.Types() {
		if len(created[t]) == 0 {
			continue
		}
		types, counts = append(types, int64(t)), append(counts, int64(len(created[t])))
		for _, it := range created[t] {
			inOrder, typeOf, ids = append(inOrder, it), append(typeOf, int64(t)), append(ids, it.ID)
		}
	}
	var n int64
	var version *int64
	err := tx.each(ctx, findTombstones, []any{&n, &version}, func() {
		if version != nil {
			inOrder[n-1].Version = *version
		}
	}, typeOf, ids)
	if err != nil {
		return err
	}
	var t, last int64
	return tx.each(ctx, nextKeys, []any{&t, &last}, func() { writepath.AssignKeys(created[fhir.Type(t)], last) }, types, counts)
}

// writeNew writes the rows, documents and index rows of new versions.
func (tx *writeTx) writeNew(ctx context.Context, items []writepath.Item) error {
	queue := &pgx.Batch{}
	tx.queueRows(queue, items)
	queueCounts(queue, items)
	tx.queueLog(queue, items)
	texts, err := tx.queueEntries(ctx, queue, items)
	if err != nil {
		return err
	}
	if err := tx.send(ctx, queue); err != nil {
		return err
	}
	unlinked := tx.unlinked
	tx.unlinked = nil
	return tx.updateTexts(ctx, texts, unlinked)
}

// queueRows queues the statements for the rows and documents of new versions.
func (tx *writeTx) queueRows(queue *pgx.Batch, items []writepath.Item) {
	var keys, types, versions, updated, visibilities, own, inherited, sizes, sums []int64
	var ids, lines []string
	var hashes [][]byte
	for i := range items {
		it := &items[i]
		if !it.Written() {
			continue
		}
		row, line := writepath.NewRow(it, tx.committed)
		keys, types, ids = append(keys, int64(row.Key)), append(types, int64(it.Type)), append(ids, row.ID)
		versions, updated = append(versions, row.Version), append(updated, int64(row.LastUpdated))
		visibilities, sizes, sums = append(visibilities, int64(it.RowState())), append(sizes, row.Size), append(sums, row.Sum(line))
		own, inherited = append(own, int64(it.Visibility)), append(inherited, int64(it.Inherited))
		lines, hashes = append(lines, string(line)), append(hashes, it.SourceHash[:])
	}
	if len(keys) == 0 {
		return
	}
	queue.Queue(writeResources, int64(tx.committed), keys, types, ids, versions, updated, visibilities, sizes, hashes, sums, own, inherited)
	queue.Queue(writeDocs, keys, lines)
}

// queueCounts queues the statement that changes the numbers of resources.
func queueCounts(queue *pgx.Batch, items []writepath.Item) {
	var types, visibilities, numbers []int64
	for _, c := range writepath.CountChanges(items) {
		types, visibilities, numbers = append(types, int64(c.Type)), append(visibilities, int64(c.Visibility)), append(numbers, c.By)
	}
	if len(types) > 0 {
		queue.Queue(countResources, types, visibilities, numbers)
	}
}

// queueLog queues the statement that writes the entries of the change log.
func (tx *writeTx) queueLog(queue *pgx.Batch, items []writepath.Item) {
	var keys []int64
	var what []int16
	for _, e := range writepath.Logged(items) {
		keys, what = append(keys, int64(e.Key)), append(what, int16(e.What))
	}
	if len(keys) > 0 {
		queue.Queue(logChanges, int64(tx.committed), keys, what)
	}
}

// queueEntries queues the statements for the index rows of new versions. For updated
// resources it writes only the difference to the stored rows. It returns the texts that may
// be new.
func (tx *writeTx) queueEntries(ctx context.Context, queue *pgx.Batch, items []writepath.Item) (texts []writepath.Text, err error) {
	stored, err := tx.entriesOf(ctx, int64s(writepath.Compared(items)))
	if err != nil {
		return nil, err
	}
	nameID := func(text string) (int64, error) { return tx.nameID(ctx, text) }
	for _, table := range writepath.Tables {
		wanted, err := table.Rows(items, nameID)
		if err != nil {
			return nil, err
		}
		missing, extra := writepath.Diff(wanted, stored[table])
		added, gone, err := table.Differences(items, nameID)
		if err != nil {
			return nil, err
		}
		for _, rows := range [][]writepath.Row{extra, gone} {
			tx.unlinked = append(tx.unlinked, table.Texts(rows)...)
			queueDelete(queue, table, rows)
		}
		queueInsert(queue, table, missing, "")
		queueInsert(queue, table, added, " ON CONFLICT DO NOTHING") // they are there if the index is damaged
		texts = append(append(texts, table.Texts(missing)...), table.Texts(added)...)
	}
	return texts, nil
}

// queueDelete queues the statement that deletes index rows, if there are any.
func queueDelete(queue *pgx.Batch, table *writepath.Table, rows []writepath.Row) {
	if len(rows) == 0 {
		return
	}
	columns, args := columnsOf(table, rows)
	queue.Queue(`DELETE FROM `+table.Name+` AS i USING unnest(`+columns+`) AS k (`+columnNames(table, "")+`)
		WHERE (`+columnNames(table, "i.")+`) = (`+columnNames(table, "k.")+`)`, args...)
}

// queueInsert queues the statement that inserts index rows, if there are any.
func queueInsert(queue *pgx.Batch, table *writepath.Table, rows []writepath.Row, suffix string) {
	if len(rows) == 0 {
		return
	}
	columns, args := columnsOf(table, rows)
	queue.Queue(`INSERT INTO `+table.Name+` (`+columnNames(table, "")+`) SELECT * FROM unnest(`+columns+`)`+suffix, args...)
}

// entriesOf reads the stored index rows of updated resources.
func (tx *writeTx) entriesOf(ctx context.Context, updated []int64) (map[*writepath.Table][]writepath.Row, error) {
	if len(updated) == 0 {
		return nil, nil
	}
	stored := map[*writepath.Table][]writepath.Row{}
	queue := &pgx.Batch{}
	for _, table := range writepath.Tables {
		queue.Queue(`SELECT `+columnNames(table, "i.")+` FROM unnest($1::bigint[]) AS k JOIN `+table.Name+` AS i ON i.row_key = k`, updated).
			Query(func(rows pgx.Rows) error {
				for rows.Next() {
					var r writepath.Row
					if err := rows.Scan(table.Fields(&r)...); err != nil {
						return err
					}
					stored[table] = append(stored[table], r)
				}
				return rows.Err()
			})
	}
	return stored, tx.send(ctx, queue)
}

// columnNames returns the list of the columns of an index table.
func columnNames(t *writepath.Table, prefix string) string {
	return prefix + strings.Join(append([]string{"row_key", "param"}, t.Columns...), ", "+prefix)
}

// columnsOf returns the columns of rows as arrays, and the list of their placeholders with
// types, such as "$1::bigint[], $2::text[]".
func columnsOf(t *writepath.Table, rows []writepath.Row) (columns string, args []any) {
	var values []any
	for n, r := range rows {
		values = t.Values(values[:0], r)
		if n == 0 {
			args = make([]any, len(values))
		}
		for i, v := range values {
			switch v := v.(type) {
			case int64:
				args[i] = appendTo(args[i], v, len(rows))
			case float64:
				args[i] = appendTo(args[i], v, len(rows))
			case string:
				args[i] = appendTo(args[i], v, len(rows))
			}
		}
	}
	var types []string
	for i, a := range args {
		kind := "text"
		switch a.(type) {
		case []int64:
			kind = "bigint"
		case []float64:
			kind = "double precision"
		}
		types = append(types, "$"+strconv.Itoa(i+1)+"::"+kind+"[]")
	}
	return strings.Join(types, ", "), args
}

// appendTo appends a value to a []T, or to a new one if to is nil.
func appendTo[T any](to any, v T, size int) any {
	list, ok := to.([]T)
	if !ok {
		list = make([]T, 0, size)
	}
	return append(list, v)
}

// nameID returns the id of a text in table name. It inserts a text that is new.
func (tx *writeTx) nameID(ctx context.Context, text string) (int64, error) {
	if id, ok := tx.s.nameIDs[text]; ok {
		return id, nil
	}
	var id int64
	if err := tx.conn.QueryRow(ctx, insertName, text).Scan(&id); err != nil {
		return 0, fmt.Errorf("insert the name %q: %w", text, err)
	}
	if tx.s.nameIDs == nil {
		tx.s.nameIDs = map[string]int64{}
	}
	tx.s.nameIDs[text] = id
	return id, nil
}

// each runs a query, and calls scanned after the columns of each row are scanned to fields.
func (tx *writeTx) each(ctx context.Context, query string, fields []any, scanned func(), args ...any) error {
	rows, err := tx.conn.Query(ctx, query, args...)
	if err != nil {
		return err
	}
	_, err = pgx.ForEachRow(rows, fields, func() error { scanned(); return nil })
	return err
}

// send runs the queued statements, if there are any.
func (tx *writeTx) send(ctx context.Context, queue *pgx.Batch) error {
	if queue.Len() == 0 {
		return nil
	}
	return tx.conn.SendBatch(ctx, queue).Close()
}

// int64s converts row keys for pgx.
func int64s(keys []store.RowKey) []int64 {
	converted := make([]int64, len(keys))
	for i, k := range keys {
		converted[i] = int64(k)
	}
	return converted
}
