package inspectsql

import (
	"context"
	"database/sql"
	"fmt"
	"hash/maphash"
	"slices"
	"strings"

	"muster/internal/fhir"
	"muster/internal/search/index"
	"muster/internal/store"
	"muster/internal/store/writepath"
)

// CheckDirections yields a problem for each index table whose rows differ from those of its
// value index. rowFirst and valueFirst return the clause, after the name of the table, that
// makes the database read the table or its value index.
func (i *Inspection) CheckDirections(ctx context.Context, rowFirst, valueFirst func(*writepath.Table) string, yield func(store.IntegrityProblem) error) error {
	for _, table := range writepath.Tables {
		err := i.Read(ctx, func(tx *sql.Tx) error {
			seed := maphash.MakeSeed()
			byRow, err := i.sumRows(ctx, tx, table, seed, rowFirst(table))
			if err != nil {
				return err
			}
			byValue, err := i.sumRows(ctx, tx, table, seed, valueFirst(table))
			if err != nil || byRow == byValue {
				return err
			}
			return yield(store.IntegrityProblem{
				Place: "index table " + table.Name,
				Problem: fmt.Sprintf("its two directions differ: %d entries by row, %d by value, so searches return wrong results",
					byRow.n, byValue.n),
				Remedy: "run muster reindex",
			})
		})
		if err != nil {
			return fmt.Errorf("compare directions of %s: %w", table.Name, err)
		}
	}
	return nil
}

// checksum is the number of rows and the sum of their hashes, in any order.
type checksum struct {
	n    int64
	hash uint64
}

func (s *checksum) add(hash uint64) {
	s.n++
	s.hash += hash
}

func (i *Inspection) sumRows(ctx context.Context, tx *sql.Tx, t *writepath.Table, seed maphash.Seed, clause string) (s checksum, err error) {
	err = i.each(ctx, tx, func(rows *sql.Rows) error {
		var r writepath.Row
		if err := rows.Scan(t.Fields(&r)...); err != nil {
			return err
		}
		s.add(maphash.Comparable(seed, r))
		return nil
	}, `SELECT row_key, param, `+strings.Join(t.Columns, ", ")+` FROM `+t.Name+` `+clause)
	return s, err
}

// CheckTexts yields a problem if the stored texts of strings, or their grams, do not match
// the string entries.
func (i *Inspection) CheckTexts(ctx context.Context, yield func(store.IntegrityProblem) error) error {
	report := func(table, format string, args ...any) error {
		return yield(store.IntegrityProblem{Place: "index table " + table, Problem: fmt.Sprintf(format, args...) + ", so searches with :contains return wrong results", Remedy: "run muster reindex"})
	}
	return i.Read(ctx, func(tx *sql.Tx) error {
		var missing, stray int64
		if err := i.one(ctx, tx, &missing, `SELECT count(*) FROM (SELECT DISTINCT s.param, s.norm FROM ix_string AS s) AS d
			WHERE NOT EXISTS (SELECT 1 FROM ix_text AS t WHERE t.param = d.param AND t.norm = d.norm)`); err != nil {
			return err
		}
		if err := i.one(ctx, tx, &stray, `SELECT count(*) FROM ix_text AS t
			WHERE NOT EXISTS (SELECT 1 FROM ix_string AS s WHERE s.param = t.param AND s.norm = t.norm)`); err != nil {
			return err
		}
		if missing > 0 || stray > 0 {
			if err := report("ix_text", "%d texts of strings are missing and %d belong to no string", missing, stray); err != nil {
				return err
			}
		}
		want, found, err := i.grams(ctx, tx)
		if err != nil || want == found {
			return err
		}
		return report("ix_gram", "its %d grams do not match the %d grams of the texts", found.n, want.n)
	})
}

type gram struct {
	param int64
	text  string
	id    int64
}

// grams returns the checksums of the grams that the texts have and of the stored grams.
func (i *Inspection) grams(ctx context.Context, tx *sql.Tx) (want, found checksum, err error) {
	seed := maphash.MakeSeed()
	err = i.each(ctx, tx, func(rows *sql.Rows) error {
		var t gram
		if err := rows.Scan(&t.param, &t.text, &t.id); err != nil {
			return err
		}
		for _, g := range index.Grams(t.text) {
			want.add(maphash.Comparable(seed, gram{t.param, g, t.id}))
		}
		return nil
	}, `SELECT param, norm, text_id FROM ix_text`)
	if err != nil {
		return want, found, err
	}
	err = i.each(ctx, tx, func(rows *sql.Rows) error {
		var g gram
		err := rows.Scan(&g.param, &g.text, &g.id)
		found.add(maphash.Comparable(seed, g))
		return err
	}, `SELECT param, gram, text_id FROM ix_gram`)
	return want, found, err
}

// CheckCounts yields a problem for each type whose resources are not as many as table resource_count
// says, by visibility.
func (i *Inspection) CheckCounts(ctx context.Context, yield func(store.IntegrityProblem) error) error {
	return i.Read(ctx, func(tx *sql.Tx) error {
		type group struct {
			t          fhir.Type
			visibility index.Visibility
		}
		var groups []group
		found, kept := map[group]int64{}, map[group]int64{}
		for _, c := range []struct {
			to    map[group]int64
			query string
		}{
			{found, `SELECT type, visibility & 3, count(*) FROM resource GROUP BY type, visibility & 3 ORDER BY type, visibility & 3`},
			{kept, `SELECT type, visibility, number FROM resource_count ORDER BY type, visibility`},
		} {
			err := i.each(ctx, tx, func(rows *sql.Rows) error {
				var g group
				var n int64
				if err := rows.Scan(&g.t, &g.visibility, &n); err != nil {
					return err
				}
				if c.to[g] = n; !slices.Contains(groups, g) {
					groups = append(groups, g)
				}
				return nil
			}, c.query)
			if err != nil {
				return err
			}
		}
		for _, g := range groups {
			if found[g] == kept[g] {
				continue
			}
			problem := store.IntegrityProblem{
				Place:   fmt.Sprintf("the %v resources with the state %d", g.t, g.visibility),
				Problem: fmt.Sprintf("there are %d, but %d were written: rows are lost or changed, and exports of all of them fail", found[g], kept[g]),
				Remedy:  "restore a backup, or load the data into a new directory; or, to accept the rows that are left, run muster reindex, which counts them again",
			}
			if err := yield(problem); err != nil {
				return err
			}
		}
		return nil
	})
}
