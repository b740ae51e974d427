package cascadesql

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"muster/internal/fhir"
	"muster/internal/search/index"
	"muster/internal/store"
	"muster/internal/store/placeholder"
	"muster/internal/store/writepath"
)

// Conn runs statements in one transaction.
type Conn interface {
	// Each runs a query and calls row for each row. scan reads the columns of the row.
	Each(ctx context.Context, query string, row func(scan func(fields ...any) error) error, args ...any) error
	Exec(ctx context.Context, statement string, args ...any) error
}

// Dialect describes how databases differ. The zero value is the dialect of SQLite.
type Dialect struct{ Postgres bool }

// list returns the table j with the items of a JSON array, the argument, in column value.
func (d Dialect) list() string {
	if d.Postgres {
		return `json_array_elements_text(?::json) AS j (value)`
	}
	return `json_each(?) AS j`
}

// key returns the item of the list as a number.
func (d Dialect) key() string {
	if d.Postgres {
		return `j.value::bigint`
	}
	return `j.value`
}

// join returns a join of a table in the given order, through an index. on is its condition, about its
// alias. PostgreSQL would read all rows of a type or a parameter and compare each with each item of
// the list, while it has no statistics of a table that is being filled: a subquery with OFFSET
// looks up each item.
func (d Dialect) join(table, alias, through, on string) string {
	if d.Postgres {
		return ` CROSS JOIN LATERAL (SELECT * FROM ` + table + ` AS ` + alias + ` WHERE ` + on + ` OFFSET 0) AS ` + alias
	}
	return ` CROSS JOIN ` + table + ` AS ` + alias + ` ` + through + ` ON ` + on
}

// isKey returns the condition that a column is one of the numbers of a JSON array, the argument.
func (d Dialect) isKey(column string) string {
	if d.Postgres {
		return column + ` = ANY (ARRAY(SELECT k::bigint FROM json_array_elements_text(?::json) AS k))`
	}
	return column + ` IN (SELECT value FROM json_each(?))`
}

// isListed returns the condition that a column is a key of table cascade.
func (d Dialect) isListed(column string) string {
	if d.Postgres {
		return column + ` = ANY (ARRAY(SELECT row_key FROM cascade))`
	}
	return column + ` IN (SELECT row_key FROM cascade)`
}

const (
	byID       = `INDEXED BY resource_id`
	byRow      = `INDEXED BY sqlite_autoindex_ix_reference_1`
	byTarget   = `INDEXED BY ix_reference_value`
	byKey      = `NOT INDEXED`
	byRemoved  = `INDEXED BY sqlite_autoindex_removed_reference_1`
	byRemovers = `INDEXED BY removed_reference_value`
)

// Graph implements writepath.Graph, except for KeepOwn.
type Graph struct {
	Conn    Conn
	Dialect Dialect
	Rules   store.Rules
}

func (g *Graph) each(ctx context.Context, query string, row func(scan func(...any) error) error, args ...any) error {
	if g.Dialect.Postgres {
		query = placeholder.Number(query)
	}
	return g.Conn.Each(ctx, query, row, args...)
}

func (g *Graph) exec(ctx context.Context, statement string, args ...any) error {
	if g.Dialect.Postgres {
		statement = placeholder.Number(statement)
	}
	return g.Conn.Exec(ctx, statement, args...)
}

// params returns the condition that a column is one of the parameters of the relations for which
// holds is true.
func (g *Graph) params(column string, holds func(store.Relation) bool) string {
	var list []string
	for _, r := range g.Rules.Relations() {
		if text := strconv.Itoa(r.Param); holds(r) {
			list = append(list, text)
		}
	}
	return column + ` IN (` + strings.Join(list, ", ") + `)`
}

func uses(r store.Relation) bool      { return r.Kind == store.Uses }
func belongsTo(r store.Relation) bool { return r.Kind == store.BelongsTo }

// nameOf returns the id of the name of a type in table name.
func nameOf(t fhir.Type) string {
	return fmt.Sprintf(`(SELECT name_id FROM name WHERE text = '%v')`, t)
}

// asJSON writes a list of keys or ids.
func asJSON(list any) string {
	text, err := json.Marshal(list)
	if err != nil {
		return "[]" // cannot happen: a list of numbers or strings always marshals
	}
	return string(text)
}

// Owners implements writepath.Graph.
func (g *Graph) Owners(ctx context.Context, t fhir.Type, ids []string) (map[string]index.Visibility, error) {
	own := map[string]index.Visibility{}
	err := g.each(ctx, `SELECT r.id, r.own_visibility FROM `+g.Dialect.list()+g.Dialect.join("resource", "r", byID, `r.type = ? AND r.id = j.value`),
		func(scan func(...any) error) error {
			var id string
			var state index.Visibility
			err := scan(&id, &state)
			own[id] = state
			return err
		}, asJSON(ids), int64(t))
	if err != nil {
		return nil, err
	}
	var missing []string
	for _, id := range ids {
		if _, ok := own[id]; !ok {
			missing = append(missing, id)
		}
	}
	if len(missing) == 0 {
		return own, nil
	}
	last := map[string]int64{}
	err = g.each(ctx, `SELECT t.id, t.version, t.own_visibility FROM `+g.Dialect.list()+g.Dialect.join("tombstone", "t", "", `t.type = ? AND t.id = j.value`),
		func(scan func(...any) error) error {
			var id string
			var version int64
			var state index.Visibility
			err := scan(&id, &version, &state)
			if version > last[id] {
				last[id], own[id] = version, state
			}
			return err
		}, asJSON(missing), int64(t))
	return own, err
}

// Users implements writepath.Graph.
func (g *Graph) Users(ctx context.Context, used fhir.Type, ids []string) (map[string][]index.Visibility, error) {
	users := map[string][]index.Visibility{}
	err := g.each(ctx, `SELECT x.id, r.visibility & 3 FROM `+g.Dialect.list()+g.Dialect.join("ix_reference", "x", byTarget, g.params("x.param", uses)+
		` AND x.id = j.value AND x.type = `+nameOf(used))+g.Dialect.join("resource", "r", byKey, `r.row_key = x.row_key`)+` GROUP BY x.id, r.visibility & 3`,
		func(scan func(...any) error) error {
			var id string
			var state index.Visibility
			err := scan(&id, &state)
			users[id] = append(users[id], state)
			return err
		}, asJSON(ids))
	return users, err
}

// RemovedUsers implements writepath.Graph.
func (g *Graph) RemovedUsers(ctx context.Context, _ fhir.Type, ids []string) ([]writepath.RemovedUser, error) {
	var users []writepath.RemovedUser
	at := map[store.RowKey][]int{} // the users with a key: one for each Endpoint
	err := g.each(ctx, `SELECT DISTINCT m.id, m.row_key, m.own_visibility FROM `+g.Dialect.list()+g.Dialect.join("removed_reference", "m", byRemovers,
		g.params("m.param", uses)+` AND m.id = j.value`),
		func(scan func(...any) error) error {
			var u writepath.RemovedUser
			var key store.RowKey
			err := scan(&u.Used, &key, &u.Own)
			at[key] = append(at[key], len(users))
			users = append(users, u)
			return err
		}, asJSON(ids))
	if err != nil || len(users) == 0 {
		return nil, err
	}
	var keys []store.RowKey
	for key := range at {
		keys = append(keys, key)
	}
	err = g.each(ctx, `SELECT m.row_key, m.param, m.id FROM `+g.Dialect.list()+g.Dialect.join("removed_reference", "m", byRemoved, `m.row_key = `+g.Dialect.key()+
		` AND `+g.params("m.param", belongsTo)),
		func(scan func(...any) error) error {
			var r writepath.Reference
			if err := scan(&r.From, &r.Param, &r.ID); err != nil {
				return err
			}
			r.Type = g.target(r.Param)
			for _, n := range at[r.From] {
				users[n].Owners = append(users[n].Owners, r)
			}
			return nil
		}, asJSON(keys))
	return users, err
}

// target returns the type to which the references of a parameter of owners or used resources lead.
func (g *Graph) target(param int) fhir.Type {
	for _, r := range g.Rules.Relations() {
		if r.Param == param {
			return r.To
		}
	}
	return 0
}

// UsedByRemoved implements writepath.Graph.
func (g *Graph) UsedByRemoved(ctx context.Context, owner fhir.Type, ids []string) (used []string, err error) {
	of := g.params("o.param", func(r store.Relation) bool { return belongsTo(r) && r.To == owner })
	return g.ids(ctx, `SELECT DISTINCT u.id FROM `+g.Dialect.list()+g.Dialect.join("removed_reference", "o", byRemovers, of+` AND o.id = j.value`)+
		g.Dialect.join("removed_reference", "u", byRemoved, `u.row_key = o.row_key AND `+g.params("u.param", uses)), asJSON(ids))
}

// ids runs a query of ids.
func (g *Graph) ids(ctx context.Context, query string, args ...any) (ids []string, err error) {
	err = g.each(ctx, query, func(scan func(...any) error) error {
		var id string
		err := scan(&id)
		ids = append(ids, id)
		return err
	}, args...)
	return ids, err
}

// keys runs a query of row keys.
func (g *Graph) keys(ctx context.Context, query string, args ...any) (keys []store.RowKey, err error) {
	err = g.each(ctx, query, func(scan func(...any) error) error {
		var key store.RowKey
		err := scan(&key)
		keys = append(keys, key)
		return err
	}, args...)
	return keys, err
}

// References implements writepath.Graph.
func (g *Graph) References(ctx context.Context, keys []store.RowKey, params []int) (references []writepath.Reference, err error) {
	of := g.params("x.param", func(r store.Relation) bool {
		for _, p := range params {
			if p == r.Param {
				return true
			}
		}
		return false
	})
	err = g.each(ctx, `SELECT x.row_key, x.param, n.text, x.id FROM `+g.Dialect.list()+g.Dialect.join("ix_reference", "x", byRow, `x.row_key = `+g.Dialect.key()+
		` AND `+of)+g.Dialect.join("name", "n", byKey, `n.name_id = x.type`),
		func(scan func(...any) error) error {
			var r writepath.Reference
			var name string
			if err := scan(&r.From, &r.Param, &name, &r.ID); err != nil {
				return err
			}
			var known bool
			if r.Type, known = fhir.ParseType(name); known {
				references = append(references, r)
			}
			return nil
		}, asJSON(keys))
	return references, err
}

// ReferencesOfRemoved implements writepath.Graph.
func (g *Graph) ReferencesOfRemoved(ctx context.Context, t fhir.Type, ids []string) (references []writepath.Reference, err error) {
	err = g.each(ctx, `SELECT m.row_key, m.param, m.id FROM `+g.Dialect.list()+g.Dialect.join("tombstone", "t", "", `t.type = ? AND t.id = j.value`)+
		g.Dialect.join("removed_reference", "m", byRemoved, `m.row_key = t.row_key AND `+g.params("m.param", uses)),
		func(scan func(...any) error) error {
			var r writepath.Reference
			err := scan(&r.From, &r.Param, &r.ID)
			r.Type = g.target(r.Param)
			references = append(references, r)
			return err
		}, asJSON(ids), int64(t))
	return references, err
}

// referring returns the query of the keys of rows with a reference of the relation to one of the
// ids, its argument.
func (g *Graph) referring(r store.Relation, columns string) string {
	return `SELECT ` + columns + ` FROM ` + g.Dialect.list() + g.Dialect.join("ix_reference", "x", byTarget,
		fmt.Sprintf(`x.param = %d AND x.id = j.value AND x.type = %s`, r.Param, nameOf(r.To)))
}

// Dependants implements writepath.Graph.
func (g *Graph) Dependants(ctx context.Context, r store.Relation, ids []string, limit int) ([]store.RowKey, error) {
	return g.keys(ctx, g.referring(r, "x.row_key")+` LIMIT ?`, asJSON(ids), limit)
}

// Keys implements writepath.Graph.
func (g *Graph) Keys(ctx context.Context, t fhir.Type, ids []string, inheriting bool) ([]store.RowKey, error) {
	of := `r.type = ? AND r.id = j.value`
	if inheriting {
		of += ` AND r.inherited_visibility <> 0`
	}
	return g.keys(ctx, `SELECT r.row_key FROM `+g.Dialect.list()+g.Dialect.join("resource", "r", byID, of), asJSON(ids), int64(t))
}

// Range implements writepath.Graph.
func (g *Graph) Range(ctx context.Context, first, last store.RowKey, limit int) ([]store.RowKey, error) {
	return g.keys(ctx, `SELECT row_key FROM resource WHERE row_key BETWEEN ? AND ? ORDER BY row_key LIMIT ?`, int64(first), int64(last), limit)
}

// Load implements writepath.Graph.
func (g *Graph) Load(ctx context.Context, keys []store.RowKey) (items []writepath.Item, err error) {
	items = make([]writepath.Item, 0, len(keys))
	err = g.each(ctx, `SELECT r.row_key, r.id, r.version, r.committed, r.last_updated, r.visibility, r.size, r.checksum, d.body,
		r.own_visibility, r.inherited_visibility, r.source_hash, f.tail, f.checksum FROM `+g.Dialect.list()+
		g.Dialect.join("resource", "r", byKey, `r.row_key = `+g.Dialect.key())+g.Dialect.join("doc", "d", "", `d.row_key = r.row_key`)+`
		LEFT JOIN own_form AS f ON f.row_key = r.row_key`,
		func(scan func(...any) error) error {
			it, err := loaded(scan)
			items = append(items, it)
			return err
		}, asJSON(keys))
	return items, err
}

// loaded reads a row of Load.
func loaded(scan func(...any) error) (it writepath.Item, err error) {
	var row store.Row
	var body, hash, tail []byte
	var sum, ownSum *int64
	var own, inherited index.Visibility
	if err := scan(&row.Key, &row.ID, &row.Version, (*int64)(&row.Committed), (*int64)(&row.LastUpdated), &row.Visibility, &row.Size, &sum, &body,
		&own, &inherited, &hash, &tail, &ownSum); err != nil {
		return it, err
	}
	checksum := store.Checksum{Present: sum != nil}
	if sum != nil {
		checksum.Sum = *sum
	}
	if err := row.Verify(body, checksum); err != nil {
		return it, err
	}
	stored, ok := row.Document(body)
	if !ok {
		return it, store.DamagedRow(row.Key, "has a text that does not begin with its type, id, version and time")
	}
	document := stored
	if ownSum != nil {
		if document.Tail, err = OwnTail(row.Key, tail, *ownSum); err != nil {
			return it, err
		}
	}
	it = writepath.NewDependant(row, stored, document, ownSum != nil)
	it.Visibility, it.Own, it.Inherited, it.Hash = own, own, inherited, hash
	copy(it.SourceHash[:], hash)
	return it, nil
}

// OwnTail returns the tail of an own document after it has compared it with its checksum.
func OwnTail(key store.RowKey, tail []byte, sum int64) ([]byte, error) {
	if store.SumOwn(key, tail) != sum {
		return nil, store.DamagedRow(key, "has an own text that does not match its checksum")
	}
	return tail, nil
}

// Own returns a stored resource without what it inherits. row is empty for a document without a row.
func Own(key store.RowKey, row *store.Row, line, tail []byte, sum, inherited sql.NullInt64) (writepath.OwnDocument, error) {
	d := writepath.OwnDocument{Key: key, ID: row.ID, Line: line}
	if row.Key == 0 || !sum.Valid {
		return d, nil
	}
	d.Tail, d.Inherited = bytes.Clone(tail), index.Visibility(inherited.Int64)
	own, err := OwnLine(row, line, tail, sum)
	d.Line = own
	return d, err
}

// OwnLine returns the line of a version without what its resource inherits. tail and sum are those
// of its own document, if it has one.
func OwnLine(row *store.Row, line, tail []byte, sum sql.NullInt64) ([]byte, error) {
	if !sum.Valid {
		return line, nil
	}
	own, err := OwnTail(row.Key, tail, sum.Int64)
	if err != nil {
		return nil, err
	}
	return store.Document{Head: store.Head(row.Key.Type(), row.ID), Tail: own}.Line(row.Version, row.LastUpdated), nil
}

// SetInherited implements writepath.Graph.
func (g *Graph) SetInherited(ctx context.Context, items []writepath.Item) error {
	keys := map[index.Visibility][]store.RowKey{}
	for i := range items {
		keys[items[i].Inherited] = append(keys[items[i].Inherited], items[i].Key)
	}
	for state, of := range keys {
		if err := g.exec(ctx, `UPDATE resource SET inherited_visibility = ? WHERE `+g.Dialect.isKey("row_key"), int64(state), asJSON(of)); err != nil {
			return err
		}
	}
	return nil
}

// DeleteOwn deletes the own documents of rows.
func (g *Graph) DeleteOwn(ctx context.Context, keys []store.RowKey) error {
	return g.exec(ctx, `DELETE FROM own_form WHERE `+g.Dialect.isKey("row_key"), asJSON(keys))
}

// Remember implements writepath.Graph.
func (g *Graph) Remember(ctx context.Context, references []writepath.Reference, own map[store.RowKey]index.Visibility) error {
	for _, r := range references {
		err := g.exec(ctx, `INSERT INTO removed_reference (row_key, param, id, own_visibility) VALUES (?, ?, ?, ?) ON CONFLICT (row_key, param, id) DO NOTHING`,
			int64(r.From), int64(r.Param), r.ID, int64(own[r.From]))
		if err != nil {
			return err
		}
	}
	return nil
}

// Forget implements writepath.Graph.
func (g *Graph) Forget(ctx context.Context, t fhir.Type, ids []string) error {
	keys, err := g.keys(ctx, `SELECT t.row_key FROM `+g.Dialect.list()+g.Dialect.join("tombstone", "t", "", `t.type = ? AND t.id = j.value`), asJSON(ids), int64(t))
	if err != nil || len(keys) == 0 {
		return err
	}
	return g.exec(ctx, `DELETE FROM removed_reference WHERE `+g.Dialect.isKey("row_key"), asJSON(keys))
}
