package main

import (
	"database/sql"
	"database/sql/driver"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/RoaringBitmap/roaring/v2"
	"modernc.org/sqlite"
)

// bitmaps is layout B: for each parameter, value and chunk of 65,536 row keys one posting: a compressed bitmap, or the plain
// number if there is one row only. The entries of a row are packed into one blob, for updates and row-driven checks.
type bitmaps struct{ db *sql.DB }

func init() {
	sqlite.MustRegisterDeterministicScalarFunction("posting_or", 2, func(_ *sqlite.FunctionContext, args []driver.Value) (driver.Value, error) {
		a, err := unpack(args[0])
		if err != nil {
			return nil, err
		}
		b, err := unpack(args[1])
		if err != nil {
			return nil, err
		}
		a.Or(b)
		return pack(a)
	})
}

// unpack reads the bitmap column of a posting.
func unpack(v any) (*roaring.Bitmap, error) {
	switch v := v.(type) {
	case int64:
		return roaring.BitmapOf(uint32(v)), nil
	case []byte:
		b := roaring.New()
		_, err := b.FromBuffer(slices.Clone(v))
		return b, err
	}
	return nil, fmt.Errorf("posting: unexpected %T in column bitmap", v)
}

func pack(b *roaring.Bitmap) (driver.Value, error) {
	if b.GetCardinality() == 1 {
		return int64(b.Minimum()), nil
	}
	b.RunOptimize()
	return b.ToBytes()
}

const bitmapUpsert = " ON CONFLICT(param, value, chunk) DO UPDATE SET bitmap=posting_or(bitmap, excluded.bitmap)"

// postingKey is the parameter (two bytes) and the value in sortable form.
func postingKey(e entry) string {
	b := binary.BigEndian.AppendUint16(nil, uint16(e.param))
	switch e.kind {
	case kindToken:
		b = append(append(b, e.text...), 0, byte(e.sys))
	case kindString:
		b = append(append(append(b, e.text...), 0), e.exact...)
	case kindRange:
		b = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(b, uint64(e.num)), uint64(e.hi))
	default:
		b = binary.BigEndian.AppendUint64(b, uint64(e.num))
	}
	return string(b)
}

func packEntries(w row) []byte {
	var b []byte
	for _, e := range w.entries {
		k := postingKey(e)
		b = append(binary.AppendUvarint(b, uint64(len(k))), k...)
	}
	return b
}

// unpackEntries calls yield with each posting key of a packed row.
func unpackEntries(b []byte, yield func(key []byte)) {
	for len(b) > 0 {
		n, used := binary.Uvarint(b)
		yield(b[used : used+int(n)])
		b = b[used+int(n):]
	}
}

// load gathers all postings in memory and writes them once, in order (after), or merges them batch by batch.
func (l *bitmaps) load(g *generator, after bool) error {
	err := execAll(l.db,
		"CREATE TABLE posting(param INTEGER NOT NULL, value BLOB NOT NULL, chunk INTEGER NOT NULL, bitmap NOT NULL, PRIMARY KEY(param, value, chunk)) WITHOUT ROWID",
		"CREATE TABLE entries(row_key INTEGER PRIMARY KEY, packed BLOB NOT NULL)")
	if err != nil {
		return err
	}
	all := map[string][]uint32{}
	for batch := range g.batches(5000) {
		if !after {
			if err := l.append(batch); err != nil {
				return err
			}
			continue
		}
		gather(all, batch)
		if err := l.inTx(func(tx *sql.Tx) error { return l.writeRows(tx, batch) }); err != nil {
			return err
		}
	}
	return l.inTx(func(tx *sql.Tx) error { return merge(tx, all, "") })
}

func gather(all map[string][]uint32, batch []row) {
	for _, w := range batch {
		for _, e := range w.entries {
			k := postingKey(e)
			all[k] = append(all[k], uint32(w.key))
		}
	}
}

func (l *bitmaps) inTx(do func(*sql.Tx) error) error {
	tx, err := l.db.Begin()
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if err := do(tx); err != nil {
		return err
	}
	return tx.Commit()
}

func (l *bitmaps) writeRows(tx *sql.Tx, batch []row) error {
	if err := writeResources(tx, batch); err != nil {
		return err
	}
	in := newInserter(tx, "INSERT INTO entries", 2)
	for _, w := range batch {
		in.add(w.key, packEntries(w))
	}
	return in.flush()
}

// append loads further rows into a live store in one transaction.
func (l *bitmaps) append(batch []row) error {
	return l.inTx(func(tx *sql.Tx) error {
		if err := l.writeRows(tx, batch); err != nil {
			return err
		}
		all := map[string][]uint32{}
		gather(all, batch)
		return merge(tx, all, bitmapUpsert)
	})
}

// merge writes postings in key order, chunk by chunk.
func merge(tx *sql.Tx, all map[string][]uint32, suffix string) error {
	keys := make([]string, 0, len(all))
	for k := range all {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	in := newInserter(tx, "INSERT INTO posting", 4)
	in.suffix = suffix
	for _, k := range keys {
		rows := all[k]
		for len(rows) > 0 {
			chunk, n := rows[0]>>16, 0
			b := roaring.New()
			for n < len(rows) && rows[n]>>16 == chunk {
				b.Add(rows[n] & 0xFFFF)
				n++
			}
			v, err := pack(b)
			if err != nil {
				return err
			}
			in.add(binary.BigEndian.Uint16([]byte(k)), []byte(k[2:]), chunk, v)
			rows = rows[n:]
		}
	}
	return in.flush()
}

// update replaces the entries of one row; only postings that change are rewritten.
func (l *bitmaps) update(w row) error {
	return l.inTx(func(tx *sql.Tx) error {
		if err := updateResource(tx, w); err != nil {
			return err
		}
		var old []byte
		if err := tx.QueryRow("SELECT packed FROM entries WHERE row_key=?", w.key).Scan(&old); err != nil {
			return err
		}
		gone, now := map[string]bool{}, map[string][]uint32{}
		unpackEntries(old, func(k []byte) { gone[string(k)] = true })
		for _, e := range w.entries {
			if k := postingKey(e); gone[k] {
				delete(gone, k)
			} else {
				now[k] = []uint32{uint32(w.key)}
			}
		}
		for k := range gone {
			if err := remove(tx, k, uint32(w.key)); err != nil {
				return err
			}
		}
		if _, err := tx.Exec("UPDATE entries SET packed=? WHERE row_key=?", packEntries(w), w.key); err != nil {
			return err
		}
		return merge(tx, now, bitmapUpsert)
	})
}

func remove(tx *sql.Tx, k string, key uint32) error {
	at := []any{binary.BigEndian.Uint16([]byte(k)), []byte(k[2:]), key >> 16}
	var v any
	err := tx.QueryRow("SELECT bitmap FROM posting WHERE param=? AND value=? AND chunk=?", at...).Scan(&v)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	b, err := unpack(v)
	if err != nil {
		return err
	}
	if b.Remove(key & 0xFFFF); b.IsEmpty() {
		_, err = tx.Exec("DELETE FROM posting WHERE param=? AND value=? AND chunk=?", at...)
		return err
	}
	if v, err = pack(b); err != nil {
		return err
	}
	_, err = tx.Exec("UPDATE posting SET bitmap=? WHERE param=? AND value=? AND chunk=?", append([]any{v}, at...)...)
	return err
}
