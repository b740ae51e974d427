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

// The statements of a chunk, over arrays. The array comes first, and each of its
// elements finds its row by an index: the sessions know no other join.
const (
	findCurrent = `SELECT k.n, r.row_key, r.version, r.source_hash
		FROM unnest($1::bigint[], $2::text[]) WITH ORDINALITY AS k (type, id, n)
		JOIN resource AS r ON r.type = k.type AND r.id = k.id`
	findBuried = `SELECT k.n, (SELECT max(t.version) FROM tombstone AS t WHERE t.type = k.type AND t.id = k.id)
		FROM unnest($1::bigint[], $2::text[]) WITH ORDINALITY AS k (type, id, n)`
	currentDocs = `SELECT r.row_key, r.visibility, d.body FROM unnest($1::bigint[]) AS k
		JOIN resource AS r ON r.row_key = k JOIN doc AS d ON d.row_key = r.row_key`
	keepVersions = `INSERT INTO history (row_key, version, committed, superseded, visibility, size, body)
		SELECT r.row_key, r.version, r.committed, $1, r.visibility, r.size, d.body
		FROM unnest($2::bigint[]) AS k JOIN resource AS r ON r.row_key = k
		JOIN doc AS d ON d.row_key = r.row_key WHERE r.committed <= $3`
	bury = `INSERT INTO tombstone (type, id, version, row_key, committed)
		SELECT r.type, r.id, r.version + 1, r.row_key, $1
		FROM unnest($2::bigint[]) AS k JOIN resource AS r ON r.row_key = k`
	nextKeys = `UPDATE sequence SET last = last + k.n FROM unnest($1::bigint[], $2::bigint[]) AS k (type, n)
		WHERE sequence.type = k.type RETURNING sequence.type, sequence.last`
	numberName = `INSERT INTO name (text) VALUES ($1)
		ON CONFLICT (text) DO UPDATE SET text = excluded.text RETURNING name_id`
	writeResources = `INSERT INTO resource
		(row_key, type, id, version, committed, last_updated, visibility, own_visibility, size, source_hash)
		SELECT k.row_key, k.type, k.id, k.version, $1, k.updated, k.visibility, k.visibility, k.size, k.hash
		FROM unnest($2::bigint[], $3::bigint[], $4::text[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[], $9::bytea[])
			AS k (row_key, type, id, version, updated, visibility, size, hash)
		ON CONFLICT (row_key) DO UPDATE SET version = excluded.version, committed = excluded.committed,
		last_updated = excluded.last_updated, visibility = excluded.own_visibility | resource.inherited_visibility,
		own_visibility = excluded.own_visibility, size = excluded.size, source_hash = excluded.source_hash`
	writeDocs = `INSERT INTO doc (row_key, body) SELECT * FROM unnest($1::bigint[], $2::text[])
		ON CONFLICT (row_key) DO UPDATE SET body = excluded.body`
)

// resourceTables are the tables that a removal clears, beside the index tables.
var resourceTables = []string{"resource", "doc"}

// findCurrent looks up the current rows.
func (b *stay) findCurrent(ctx context.Context, items []writepath.Item) error {
	var types []int64
	var ids []string
	for i := range items {
		types, ids = append(types, int64(items[i].Type)), append(ids, items[i].ID)
	}
	var n, version int64
	var key int64
	var hash []byte
	return b.each(ctx, findCurrent, []any{&n, &key, &version, &hash}, func() {
		it := &items[n-1]
		it.Key, it.Version, it.Hash = store.RowKey(key), version, hash
	}, types, ids)
}

// revise lets the revisions make their new versions from the current ones.
func (b *stay) revise(ctx context.Context, items []writepath.Item) error {
	keys := writepath.Revising(items)
	if len(keys) == 0 {
		return nil
	}
	rows, err := b.conn.Query(ctx, currentDocs, numbers(keys))
	if err != nil {
		return err
	}
	var key, state int64
	var body []byte
	_, err = pgx.ForEachRow(rows, []any{&key, &state, &body}, func() error {
		return writepath.Revise(items, store.RowKey(key), store.Current{Visibility: index.Visibility(state), Line: body})
	})
	return err
}

// endVersions copies the versions that are about to end to history, if a live job
// needs them, takes away the removed resources and leaves tombstones.
func (b *stay) endVersions(ctx context.Context, items []writepath.Item) error {
	queue := &pgx.Batch{}
	if ending := writepath.Keys(items, store.Updated, store.Removed); len(ending) > 0 && b.horizon > 0 {
		queue.Queue(keepVersions, int64(b.now), numbers(ending), int64(b.horizon))
	}
	if removed := numbers(writepath.Keys(items, store.Removed)); len(removed) > 0 {
		var t writepath.Text
		if err := b.each(ctx, textsOf, []any{&t.Param, &t.Norm}, func() { b.left = append(b.left, t) }, removed); err != nil {
			return err
		}
		queue.Queue(bury, int64(b.now), removed)
		for _, table := range resourceTables {
			queue.Queue(`DELETE FROM `+table+` WHERE row_key = ANY ($1::bigint[])`, removed)
		}
		for _, t := range writepath.Tables {
			queue.Queue(`DELETE FROM `+t.Name+` WHERE row_key = ANY ($1::bigint[])`, removed)
		}
	}
	return b.send(ctx, queue)
}

// numbers are row keys as pgx sends them.
func numbers(keys []store.RowKey) []int64 {
	plain := make([]int64, len(keys))
	for i, k := range keys {
		plain[i] = int64(k)
	}
	return plain
}

// allotKeys gives the created resources their row keys. The version of one that
// was removed before goes on counting, so that no version id comes twice.
func (b *stay) allotKeys(ctx context.Context, items []writepath.Item) error {
	created := writepath.Created(items)
	if len(created) == 0 {
		return nil
	}
	var fresh []*writepath.Item
	var types, counts, typeOf []int64
	var ids []string
	for _, t := range fhir.Types() {
		if len(created[t]) == 0 {
			continue
		}
		types, counts = append(types, int64(t)), append(counts, int64(len(created[t])))
		for _, it := range created[t] {
			fresh, typeOf, ids = append(fresh, it), append(typeOf, int64(t)), append(ids, it.ID)
		}
	}
	var n int64
	var version *int64
	err := b.each(ctx, findBuried, []any{&n, &version}, func() {
		if version != nil {
			fresh[n-1].Version = *version
		}
	}, typeOf, ids)
	if err != nil {
		return err
	}
	var t, last int64
	return b.each(ctx, nextKeys, []any{&t, &last}, func() { writepath.Allot(created[fhir.Type(t)], last) }, types, counts)
}

// write writes the rows, documents and index rows of new versions.
func (b *stay) write(ctx context.Context, items []writepath.Item) error {
	queue := &pgx.Batch{}
	b.queueRows(queue, items)
	fresh, err := b.queueEntries(ctx, queue, items)
	if err != nil {
		return err
	}
	if err := b.send(ctx, queue); err != nil {
		return err
	}
	left := b.left
	b.left = nil
	return b.updateTexts(ctx, fresh, left)
}

// queueRows adds the rows and documents of new versions.
func (b *stay) queueRows(queue *pgx.Batch, items []writepath.Item) {
	var keys, types, versions, updated, visibilities, sizes []int64
	var ids, lines []string
	var hashes [][]byte
	for i := range items {
		it := &items[i]
		if !it.Written() {
			continue
		}
		last := it.LastUpdatedAt(b.now)
		line := it.Document.Line(it.Version+1, last)
		keys, types, ids = append(keys, int64(it.Key)), append(types, int64(it.Type)), append(ids, it.ID)
		versions, updated = append(versions, it.Version+1), append(updated, int64(last))
		visibilities, sizes = append(visibilities, int64(it.Visibility)), append(sizes, int64(len(line)+1))
		lines, hashes = append(lines, string(line)), append(hashes, it.SourceHash[:])
	}
	if len(keys) == 0 {
		return
	}
	queue.Queue(writeResources, int64(b.now), keys, types, ids, versions, updated, visibilities, sizes, hashes)
	queue.Queue(writeDocs, keys, lines)
}

// queueEntries adds the index rows of new versions, and for updates only what
// differs from the rows that are there. It returns the texts that may be new.
func (b *stay) queueEntries(ctx context.Context, queue *pgx.Batch, items []writepath.Item) (fresh []writepath.Text, err error) {
	there, err := b.entriesOf(ctx, numbers(writepath.Keys(items, store.Updated)))
	if err != nil {
		return nil, err
	}
	for _, table := range writepath.Tables {
		want, err := table.Wanted(items, func(text string) (int64, error) { return b.nameID(ctx, text) })
		if err != nil {
			return nil, err
		}
		missing, extra := writepath.Difference(want, there[table])
		fresh, b.left = append(fresh, table.Texts(missing)...), append(b.left, table.Texts(extra)...)
		if len(extra) > 0 {
			columns, args := columnsOf(table, extra)
			queue.Queue(`DELETE FROM `+table.Name+` AS i USING unnest(`+columns+`) AS k (`+columnNames(table, "")+`)
				WHERE (`+columnNames(table, "i.")+`) = (`+columnNames(table, "k.")+`)`, args...)
		}
		if len(missing) > 0 {
			columns, args := columnsOf(table, missing)
			queue.Queue(`INSERT INTO `+table.Name+` (`+columnNames(table, "")+`) SELECT * FROM unnest(`+columns+`)`, args...)
		}
	}
	return fresh, nil
}

// entriesOf reads the index rows of updated resources.
func (b *stay) entriesOf(ctx context.Context, updated []int64) (map[*writepath.Table][]writepath.Row, error) {
	if len(updated) == 0 {
		return nil, nil
	}
	there := map[*writepath.Table][]writepath.Row{}
	queue := &pgx.Batch{}
	for _, table := range writepath.Tables {
		queue.Queue(`SELECT `+columnNames(table, "i.")+` FROM unnest($1::bigint[]) AS k JOIN `+table.Name+` AS i ON i.row_key = k`, updated).
			Query(func(rows pgx.Rows) error {
				for rows.Next() {
					var r writepath.Row
					if err := rows.Scan(table.Fields(&r)...); err != nil {
						return err
					}
					there[table] = append(there[table], r)
				}
				return rows.Err()
			})
	}
	return there, b.send(ctx, queue)
}

// columnNames lists the columns of an index table.
func columnNames(t *writepath.Table, prefix string) string {
	return prefix + strings.Join(append([]string{"row_key", "param"}, t.Columns...), ", "+prefix)
}

// columnsOf turns rows into one array for each column, with its place and type in
// the statement.
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
				args[i] = add(args[i], v, len(rows))
			case float64:
				args[i] = add(args[i], v, len(rows))
			case string:
				args[i] = add(args[i], v, len(rows))
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

// add appends to a slice that is made when its first value comes.
func add[T any](to any, v T, size int) any {
	list, ok := to.([]T)
	if !ok {
		list = make([]T, 0, size)
	}
	return append(list, v)
}

// nameID returns the number of a text of table name, adding it if need be.
func (b *stay) nameID(ctx context.Context, text string) (int64, error) {
	if id, ok := b.s.names[text]; ok {
		return id, nil
	}
	var id int64
	if err := b.conn.QueryRow(ctx, numberName, text).Scan(&id); err != nil {
		return 0, fmt.Errorf("number the name %q: %w", text, err)
	}
	if b.s.names == nil {
		b.s.names = map[string]int64{}
	}
	b.s.names[text] = id
	return id, nil
}
