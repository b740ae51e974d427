package main

import (
	"database/sql"
	"encoding/binary"
	"math"
	"strings"

	"github.com/RoaringBitmap/roaring/v2"
)

// or adds the postings that a condition selects to the set.
func (l *bitmaps) or(set *roaring.Bitmap, where string, args ...any) error {
	rows, err := l.db.Query("SELECT chunk, bitmap FROM posting WHERE "+where, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var chunk uint32
		var v any
		if err := rows.Scan(&chunk, &v); err != nil {
			return err
		}
		if n, ok := v.(int64); ok {
			set.Add(chunk<<16 | uint32(n))
			continue
		}
		b, err := unpack(v)
		if err != nil {
			return err
		}
		set.Or(roaring.AddOffset(b, chunk<<16))
	}
	return rows.Err()
}

func (l *bitmaps) term(c term) (*roaring.Bitmap, error) {
	set := roaring.New()
	k := postingKey(entry{kind: kindToken, param: c.param, sys: c.sys, text: c.code})
	return set, l.or(set, "param=? AND value=?", c.param, []byte(k[2:]))
}

func (l *bitmaps) starts(param int, text string) (*roaring.Bitmap, error) {
	set := roaring.New()
	return set, l.or(set, "param=? AND value>=? AND value<?", param, []byte(text), []byte(text+"\xFF"))
}

// referring gives the rows whose reference points into the targets.
func (l *bitmaps) referring(param int, targets *roaring.Bitmap) (*roaring.Bitmap, error) {
	set := roaring.New()
	for _, part := range inChunks(targets.ToArray()) {
		args := []any{param}
		for _, t := range part {
			args = append(args, binary.BigEndian.AppendUint64(nil, uint64(t)))
		}
		if err := l.or(set, "param=? AND value IN "+marks(1, len(part)), args...); err != nil {
			return nil, err
		}
	}
	return set, nil
}

// targets calls yield with each row and the target of its reference, in row order, until yield says no.
func (l *bitmaps) targets(param int, from *roaring.Bitmap, yield func(row, target uint32) bool) error {
	for _, part := range inChunks(from.ToArray()) {
		more, err := l.targetsOf(param, part, yield)
		if err != nil || !more {
			return err
		}
	}
	return nil
}

func (l *bitmaps) targetsOf(param int, part []uint32, yield func(row, target uint32) bool) (more bool, err error) {
	args := make([]any, len(part))
	for i, k := range part {
		args[i] = k
	}
	rows, err := l.db.Query("SELECT row_key, packed FROM entries WHERE row_key IN "+marks(1, len(args))+" ORDER BY row_key", args...)
	if err != nil {
		return false, err
	}
	defer rows.Close()
	more = true
	for rows.Next() && more {
		var key uint32
		var packed sql.RawBytes
		if err := rows.Scan(&key, &packed); err != nil {
			return false, err
		}
		unpackEntries(packed, func(k []byte) {
			if int(binary.BigEndian.Uint16(k)) == param {
				more = more && yield(key, uint32(binary.BigEndian.Uint64(k[2:])))
			}
		})
	}
	return more, rows.Err()
}

func inChunks(keys []uint32) [][]uint32 {
	const size = 200
	var out [][]uint32
	for len(keys) > size {
		out, keys = append(out, keys[:size]), keys[size:]
	}
	if len(keys) > 0 {
		out = append(out, keys)
	}
	return out
}

// set gives the rows of a question; limit (0 = none) may end row-driven work early.
func (l *bitmaps) set(q question, limit int) (*roaring.Bitmap, error) {
	switch q.shape {
	case "prefix":
		return l.starts(q.param, q.text)
	case "chain":
		places, err := l.starts(q.param, q.text)
		if err != nil {
			return nil, err
		}
		return l.referring(q.ref, places)
	case "chain-by-row":
		return l.chainByRow(q, limit)
	case "has-chain":
		places, err := l.starts(q.param, q.text)
		if err != nil {
			return nil, err
		}
		between, err := l.referring(q.via, places)
		if err != nil {
			return nil, err
		}
		return l.collect(q.ref, between)
	}
	set, err := l.term(q.terms[0])
	if err != nil {
		return nil, err
	}
	switch q.shape {
	case "has":
		return l.collect(q.ref, set)
	case "missing":
		present := roaring.New()
		if err := l.or(present, "param=?", q.ref); err != nil {
			return nil, err
		}
		set.AndNot(present)
		return set, nil
	}
	for _, c := range q.terms[1:] {
		other, err := l.term(c)
		if err != nil {
			return nil, err
		}
		if q.shape == "not" {
			set.AndNot(other)
		} else {
			set.And(other)
		}
	}
	return set, nil
}

func (l *bitmaps) collect(param int, from *roaring.Bitmap) (*roaring.Bitmap, error) {
	out := roaring.New()
	return out, l.targets(param, from, func(_, target uint32) bool { out.Add(target); return true })
}

func (l *bitmaps) chainByRow(q question, limit int) (*roaring.Bitmap, error) {
	rows, err := l.term(q.terms[0])
	if err != nil {
		return nil, err
	}
	places, err := l.starts(q.param, q.text)
	if err != nil {
		return nil, err
	}
	out := roaring.New()
	return out, l.targets(q.ref, rows, func(row, target uint32) bool {
		if places.Contains(target) {
			out.Add(row)
		}
		return limit == 0 || out.GetCardinality() < uint64(limit)
	})
}

func (l *bitmaps) page(q question, limit int) ([]int64, error) {
	if q.shape == "near" {
		return l.near(q, limit)
	}
	set, err := l.set(q, limit)
	if err != nil {
		return nil, err
	}
	if limit == 0 {
		limit = math.MaxInt
	}
	keys := make([]int64, 0, min(uint64(limit), set.GetCardinality()))
	for it := set.Iterator(); it.HasNext() && len(keys) < limit; {
		keys = append(keys, int64(it.Next()))
	}
	return keys, nil
}

func (l *bitmaps) total(q question, limit int) (int, error) {
	if q.shape == "near" {
		keys, err := l.near(q, limit)
		return len(keys), err
	}
	set, err := l.set(q, limit)
	if err != nil {
		return 0, err
	}
	return min(limit, int(set.GetCardinality())), nil
}

func (l *bitmaps) near(q question, limit int) ([]int64, error) {
	var or []string
	args := []any{q.param}
	for _, c := range cover(q.lat, q.lon, q.km) {
		or = append(or, "SELECT chunk, bitmap, value FROM posting WHERE param=?1 AND value BETWEEN ? AND ?")
		args = append(args, binary.BigEndian.AppendUint64(nil, uint64(c[0])), binary.BigEndian.AppendUint64(nil, uint64(c[1])))
	}
	rows, err := l.db.Query(strings.Join(or, " UNION ALL "), args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	// Positions are unique to thirty bits, so a posting holds one row.
	return nearest(rows, q, limit, func(rows *sql.Rows) (key, cell int64, err error) {
		var chunk, low int64
		var value []byte
		if err := rows.Scan(&chunk, &low, &value); err != nil {
			return 0, 0, err
		}
		return chunk<<16 | low, int64(binary.BigEndian.Uint64(value)), nil
	})
}
