package main

import (
	"database/sql"
	"maps"
	"slices"
)

// packTokens stores the tokens of each row as one blob, so that an update knows which entries to remove.
func (t *tables) packTokens(tx *sql.Tx, batch []row) error {
	in := newInserter(tx, "INSERT INTO row_token", 2)
	for _, w := range batch {
		in.add(w.key, packTokens(w))
	}
	return in.flush()
}

func packTokens(w row) []byte {
	tokens := row{}
	for _, e := range w.entries {
		if e.kind == kindToken {
			tokens.entries = append(tokens.entries, e)
		}
	}
	return packEntries(tokens)
}

// writeTokens writes the gathered tokens of a first load in key order, parameter by parameter; the next parameter is sorted
// while one is written. (A loader for data larger than memory would sort runs and merge them.)
func (t *tables) writeTokens() error {
	if t.tokens == nil {
		return nil
	}
	sorted := make(chan []keyed, 1)
	go func() {
		defer close(sorted)
		for _, p := range slices.Sorted(maps.Keys(t.tokens)) {
			slices.SortFunc(t.tokens[p], byValue)
			sorted <- t.tokens[p]
		}
	}()
	tx, err := t.db.Begin()
	if err != nil {
		return err
	}
	defer tx.Rollback()
	in := newInserter(tx, "INSERT OR IGNORE INTO "+t.target(kindToken), t.width(kindToken))
	for entries := range sorted {
		for _, e := range entries {
			in.add(e.row, e.param, e.sys, e.text)
		}
	}
	if err := in.flush(); err != nil {
		return err
	}
	t.tokens = nil
	return tx.Commit()
}

// updateTokens compares the packed tokens of a row with its new ones and changes what differs.
func (t *tables) updateTokens(tx *sql.Tx, w row) error {
	var old []byte
	if err := tx.QueryRow("SELECT packed FROM row_token WHERE row_key=?", w.key).Scan(&old); err != nil {
		return err
	}
	gone := map[string]bool{}
	unpackEntries(old, func(k []byte) { gone[string(k)] = true })
	for _, e := range w.entries {
		k := postingKey(e)
		if e.kind != kindToken || gone[k] {
			delete(gone, k)
			continue
		}
		if _, err := tx.Exec("INSERT OR IGNORE INTO ix_token(row_key, param, system, code) VALUES(?,?,?,?)", w.key, e.param, e.sys, e.text); err != nil {
			return err
		}
	}
	for k := range gone {
		// A posting key is the parameter, the code, a zero byte and the system.
		param, code, sys := int(k[0])<<8|int(k[1]), k[2:len(k)-2], int(k[len(k)-1])
		if _, err := tx.Exec("DELETE FROM ix_token WHERE param=? AND code=? AND row_key=? AND system=?", param, code, w.key, sys); err != nil {
			return err
		}
	}
	_, err := tx.Exec("UPDATE row_token SET packed=? WHERE row_key=?", packTokens(w), w.key)
	return err
}
