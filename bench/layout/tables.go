package main

import (
	"database/sql"
	"fmt"
	"slices"
	"strings"
)

// tables is layout A: one row per index entry. Each table is stored row-first (its primary key begins with the row) and has one
// covering index that begins with the value and ends in the row. Its variants differ in how a token or string is written:
//
//	a   system and code as text in every entry
//	as  the system as a small integer, the code as text
//	ad  tokens and strings as integers from a dictionary of values
//	ap  as "as", but tokens are stored value-first only; the tokens of one row are packed into one blob
type tables struct {
	db      *sql.DB
	variant string
	values  map[string]int64 // dictionary of ad, kept by a first load only
	fresh   []value          // values not yet written
	tokens  map[int][]keyed  // tokens of ap by parameter, gathered by a first load
	next    int64
}

// value is a dictionary entry: a token (sys and text) or a string (sys -1, text normalised, exact).
type value struct {
	sys         int
	text, exact string
	id          int64
}

// ddl has, per kind, the table and the index that is created after a first load.
func (t *tables) ddl() (create, index []string) {
	token, str := "system TEXT NOT NULL, code TEXT NOT NULL", "norm TEXT NOT NULL, exact TEXT NOT NULL"
	tokenKey, tokenIndex, strKey := "system, code", "code, system", "norm, exact"
	switch t.variant {
	case "as", "ap":
		token = "system INTEGER NOT NULL, code TEXT NOT NULL"
	case "ad":
		token, tokenKey, tokenIndex = "value_id INTEGER NOT NULL", "value_id", "value_id"
		str, strKey = token, tokenKey
		create = append(create, `CREATE TABLE value(text TEXT NOT NULL, system INTEGER NOT NULL, exact TEXT NOT NULL,
			value_id INTEGER NOT NULL, PRIMARY KEY(text, system, exact)) WITHOUT ROWID`)
	}
	add := func(kind int, columns, key, first string) {
		name := tableNames[kind]
		create = append(create, fmt.Sprintf("CREATE TABLE %s(row_key INTEGER NOT NULL, param INTEGER NOT NULL, %s, PRIMARY KEY(row_key, param, %s)) WITHOUT ROWID",
			name, columns, key))
		index = append(index, fmt.Sprintf("CREATE INDEX %s_value ON %s(param, %s, row_key)", name, name, first))
	}
	if t.variant == "ap" {
		create = append(create, `CREATE TABLE ix_token(param INTEGER NOT NULL, code TEXT NOT NULL, row_key INTEGER NOT NULL, system INTEGER NOT NULL,
			PRIMARY KEY(param, code, row_key, system)) WITHOUT ROWID`,
			"CREATE TABLE row_token(row_key INTEGER PRIMARY KEY, packed BLOB NOT NULL)")
	} else {
		add(kindToken, token, tokenKey, tokenIndex)
	}
	add(kindString, str, strKey, strings.TrimSuffix(strKey, ", exact"))
	add(kindRef, "target INTEGER NOT NULL", "target", "target")
	add(kindRange, "lo INTEGER NOT NULL, hi INTEGER NOT NULL", "lo, hi", "lo, hi")
	add(kindGeo, "cell INTEGER NOT NULL", "cell", "cell")
	return create, index
}

var tableNames = [kinds]string{"ix_token", "ix_string", "ix_ref", "ix_range", "ix_geo"}

// columns are the values of an entry for its table, after row_key and param.
func (t *tables) columns(e entry) []any {
	switch e.kind {
	case kindToken:
		switch t.variant {
		case "a":
			return []any{systems[e.sys], e.text}
		case "as", "ap":
			return []any{e.sys, e.text}
		}
		return []any{t.values[dictKey(e)]}
	case kindString:
		if t.variant == "ad" {
			return []any{t.values[dictKey(e)]}
		}
		return []any{e.text, e.exact}
	case kindRange:
		return []any{e.num, e.hi}
	default:
		return []any{e.num}
	}
}

// target is the table of a kind, with its columns where their order in the table is another than that of columns.
func (t *tables) target(kind int) string {
	if kind == kindToken && t.variant == "ap" {
		return "ix_token(row_key, param, system, code)"
	}
	return tableNames[kind]
}

func (t *tables) width(kind int) int {
	if kind == kindRange || t.variant != "ad" && kind <= kindString {
		return 4
	}
	return 3
}

func dictKey(e entry) string {
	if e.kind == kindString {
		return "s" + e.text + "\x00" + e.exact
	}
	return string(rune('A'+e.sys)) + e.text
}

// keyed is an entry with its row.
type keyed struct {
	entry
	row int64
}

// byValue orders entries as the value index does, so that a sorted batch touches its pages once.
func byValue(a, b keyed) int {
	return cmpOr(a.param-b.param, strings.Compare(a.text, b.text), int(a.num-b.num), int(a.row-b.row))
}

func cmpOr(values ...int) int {
	for _, v := range values {
		if v != 0 {
			return v
		}
	}
	return 0
}

func (t *tables) load(g *generator, after bool) error {
	create, index := t.ddl()
	if !after {
		create = append(create, index...)
	}
	if err := execAll(t.db, create...); err != nil {
		return err
	}
	t.values = map[string]int64{}
	if t.variant == "ap" && after {
		t.tokens = map[int][]keyed{}
	}
	for batch := range g.batches(5000) {
		if err := t.write(batch, !after, t.assign); err != nil {
			return err
		}
	}
	if err := t.writeDictionary(); err != nil {
		return err
	}
	if err := t.writeTokens(); err != nil {
		return err
	}
	t.values = nil
	if after {
		return execAll(t.db, index...)
	}
	return nil
}

// append loads further rows into a live store in one transaction; the dictionary is looked up in the database.
func (t *tables) append(batch []row) error { return t.write(batch, true, t.lookup) }

func (t *tables) write(batch []row, sorted bool, resolve func(*sql.Tx, []row) error) error {
	tx, err := t.db.Begin()
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if err := writeResources(tx, batch); err != nil {
		return err
	}
	if t.variant == "ad" {
		if err := resolve(tx, batch); err != nil {
			return err
		}
	}
	var all [kinds][]keyed
	for _, w := range batch {
		for _, e := range w.entries {
			all[e.kind] = append(all[e.kind], keyed{e, w.key})
		}
	}
	if t.variant == "ap" {
		if err := t.packTokens(tx, batch); err != nil {
			return err
		}
		if t.tokens != nil {
			for _, e := range all[kindToken] {
				t.tokens[e.param] = append(t.tokens[e.param], e)
			}
			all[kindToken] = nil
		}
	}
	for kind, entries := range all {
		if sorted {
			slices.SortFunc(entries, byValue)
		}
		in := newInserter(tx, "INSERT OR IGNORE INTO "+t.target(kind), t.width(kind))
		for _, e := range entries {
			in.add(append([]any{e.row, e.param}, t.columns(e.entry)...)...)
		}
		if err := in.flush(); err != nil {
			return err
		}
	}
	return tx.Commit()
}

// assign gives every new value of a batch an id from memory.
func (t *tables) assign(_ *sql.Tx, batch []row) error {
	for _, w := range batch {
		for _, e := range w.entries {
			if e.kind > kindString {
				continue
			}
			if k := dictKey(e); t.values[k] == 0 {
				t.next++
				t.values[k] = t.next
				t.fresh = append(t.fresh, valueOf(e, t.next))
			}
		}
	}
	return nil
}

func valueOf(e entry, id int64) value {
	if e.kind == kindString {
		return value{-1, e.text, e.exact, id}
	}
	return value{e.sys, e.text, "", id}
}

// lookup finds or makes the ids of a batch in the database.
func (t *tables) lookup(tx *sql.Tx, batch []row) error {
	find, err := tx.Prepare("SELECT value_id FROM value WHERE text=? AND system=? AND exact=?")
	if err != nil {
		return err
	}
	defer find.Close()
	t.values = map[string]int64{}
	in := newInserter(tx, "INSERT INTO value", 4)
	for _, w := range batch {
		for _, e := range w.entries {
			if e.kind > kindString {
				continue
			}
			k := dictKey(e)
			if t.values[k] != 0 {
				continue
			}
			v := valueOf(e, 0)
			switch err := find.QueryRow(v.text, v.sys, v.exact).Scan(&v.id); err {
			case nil:
			case sql.ErrNoRows:
				t.next++
				v.id = t.next
				in.add(v.text, v.sys, v.exact, v.id)
			default:
				return err
			}
			t.values[k] = v.id
		}
	}
	return in.flush()
}

// writeDictionary stores the values of a first load in key order.
func (t *tables) writeDictionary() error {
	if t.variant != "ad" {
		return nil
	}
	slices.SortFunc(t.fresh, func(a, b value) int {
		return cmpOr(strings.Compare(a.text, b.text), a.sys-b.sys, strings.Compare(a.exact, b.exact))
	})
	tx, err := t.db.Begin()
	if err != nil {
		return err
	}
	defer tx.Rollback()
	in := newInserter(tx, "INSERT INTO value", 4)
	for _, v := range t.fresh {
		in.add(v.text, v.sys, v.exact, v.id)
	}
	if err := in.flush(); err != nil {
		return err
	}
	t.fresh = nil
	return tx.Commit()
}

// update replaces the entries of one row: the old ones are read row-first, only what differs is deleted or inserted.
func (t *tables) update(w row) error {
	tx, err := t.db.Begin()
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if err := updateResource(tx, w); err != nil {
		return err
	}
	if t.variant == "ad" {
		if err := t.lookup(tx, []row{w}); err != nil {
			return err
		}
	}
	first := 0
	if t.variant == "ap" {
		first = kindString
		if err := t.updateTokens(tx, w); err != nil {
			return err
		}
	}
	var want [kinds]map[string][]any
	for _, e := range w.entries {
		if want[e.kind] == nil {
			want[e.kind] = map[string][]any{}
		}
		full := append([]any{w.key, int64(e.param)}, t.columns(e)...)
		want[e.kind][fmt.Sprint(full...)] = full
	}
	for kind := first; kind < kinds; kind++ {
		if err := t.replace(tx, kind, w.key, want[kind]); err != nil {
			return err
		}
	}
	return tx.Commit()
}

func (t *tables) replace(tx *sql.Tx, kind int, key int64, want map[string][]any) error {
	rows, err := tx.Query("SELECT * FROM "+tableNames[kind]+" WHERE row_key=?", key)
	if err != nil {
		return err
	}
	defer rows.Close()
	names, err := rows.Columns()
	if err != nil {
		return err
	}
	var gone [][]any
	for rows.Next() {
		have, into := make([]any, len(names)), make([]any, len(names))
		for i := range have {
			into[i] = &have[i]
		}
		if err := rows.Scan(into...); err != nil {
			return err
		}
		if k := fmt.Sprint(have...); want[k] == nil {
			gone = append(gone, have)
		} else {
			delete(want, k)
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	rows.Close()
	for _, old := range gone {
		if _, err := tx.Exec("DELETE FROM "+tableNames[kind]+" WHERE "+strings.Join(names, "=? AND ")+"=?", old...); err != nil {
			return err
		}
	}
	for _, now := range want {
		if _, err := tx.Exec("INSERT INTO "+tableNames[kind]+" VALUES"+marks(1, len(now)), now...); err != nil {
			return err
		}
	}
	return nil
}
