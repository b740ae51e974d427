package inspectsql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"muster/internal/search/index"
	"muster/internal/store"
	"muster/internal/store/cascadesql"
	"muster/internal/store/sqlrows"
	"muster/internal/store/writepath"
)

// StoresKind implements store.Inspector.
func (i *Inspection) StoresKind(kind index.Kind) bool {
	return slices.ContainsFunc(writepath.Tables, func(t *writepath.Table) bool { return t.Kind == kind })
}

// Excerpt implements store.Inspector.
func (i *Inspection) Excerpt(ctx context.Context, first, last store.RowKey, limit int) (e store.Excerpt, err error) {
	err = i.Read(ctx, func(tx *sql.Tx) error {
		if err := i.one(ctx, tx, &e.Clock, `SELECT last FROM clock`); err != nil {
			return fmt.Errorf("read clock: %w", err)
		}
		if err := i.one(ctx, tx, &e.Sequence, `SELECT coalesce(max(last), 0) FROM sequence WHERE type = ?`, int64(first.Type())); err != nil {
			return err
		}
		// An excerpt ends at the limit of rows or of documents, whichever comes first,
		// so a missing row or document does not make it unbounded.
		e.Through = last
		for _, table := range []string{"resource", "doc"} {
			var through store.RowKey
			err := i.one(ctx, tx, (*int64)(&through), `SELECT row_key FROM `+table+` WHERE row_key BETWEEN ? AND ? ORDER BY row_key LIMIT 1 OFFSET ?`,
				int64(first), int64(last), limit-1)
			if err != nil && !errors.Is(err, sql.ErrNoRows) {
				return err
			}
			if err == nil {
				e.Through = min(e.Through, through)
			}
		}
		c := store.StoredRecords{}
		if err := i.collect(ctx, tx, c, first, e.Through); err != nil {
			return err
		}
		e.Records = c.Sorted()
		return nil
	})
	if err != nil {
		return e, fmt.Errorf("read row keys from %d: %w", first, err)
	}
	return e, nil
}

func (i *Inspection) collect(ctx context.Context, tx *sql.Tx, c store.StoredRecords, first, last store.RowKey) error {
	err := i.each(ctx, tx, func(rows *sql.Rows) error {
		var r store.StoredRow
		var sum sql.NullInt64
		if err := rows.Scan(&r.Key, &r.Type, &r.ID, &r.Version, &r.Committed, &r.LastUpdated, &r.Visibility, &r.Own, &r.Inherited, &r.Size, &sum); err != nil {
			return err
		}
		r.Checksum = store.Checksum{Sum: sum.Int64, Present: sum.Valid}
		c.At(r.Key).Row = &r
		return nil
	}, `SELECT row_key, type, id, version, committed, last_updated, visibility, own_visibility, inherited_visibility, size, checksum
		FROM resource WHERE row_key BETWEEN ? AND ? ORDER BY row_key`, int64(first), int64(last))
	if err != nil {
		return err
	}
	err = i.each(ctx, tx, func(rows *sql.Rows) error {
		var key store.RowKey
		body := []byte{} // not nil: an empty body is not a missing one
		if err := rows.Scan(&key, &body); err != nil {
			return err
		}
		c.At(key).Body = body
		return nil
	}, `SELECT row_key, body FROM doc WHERE row_key BETWEEN ? AND ? ORDER BY row_key`, int64(first), int64(last))
	if err != nil {
		return err
	}
	err = i.each(ctx, tx, func(rows *sql.Rows) error {
		var key store.RowKey
		var own store.StoredOwn
		if err := rows.Scan(&key, &own.Tail, &own.Sum); err != nil {
			return err
		}
		c.At(key).Own = &own
		return nil
	}, `SELECT row_key, tail, checksum FROM own_form WHERE row_key BETWEEN ? AND ? ORDER BY row_key`, int64(first), int64(last))
	if err != nil {
		return err
	}
	for _, table := range writepath.Tables {
		if err := i.entries(ctx, tx, c, table, first, last); err != nil {
			return err
		}
	}
	return nil
}

// Differences implements store.Inspector.
func (i *Inspection) Differences(ctx context.Context, rules store.Rules, keys []store.RowKey) (found []store.Difference, err error) {
	err = i.Read(ctx, func(tx *sql.Tx) error {
		c := writepath.Cascade{Rules: rules, Graph: &reading{cascadesql.Graph{Conn: conn{tx}, Dialect: cascadesql.Dialect{Postgres: i.dialect.Numbered}, Rules: rules}}}
		found, err = c.Differences(ctx, keys)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("compute what %d resources inherit: %w", len(keys), err)
	}
	return found, nil
}

// reading implements writepath.Graph for a transaction that only reads.
type reading struct{ cascadesql.Graph }

func (*reading) KeepOwn(context.Context, []writepath.Item) error {
	return errors.New("an inspection does not write")
}

// conn implements cascadesql.Conn.
type conn struct{ tx *sql.Tx }

func (c conn) Each(ctx context.Context, query string, row func(scan func(...any) error) error, args ...any) error {
	return sqlrows.Query(ctx, c.tx, func(rows *sql.Rows) error { return row(rows.Scan) }, query, args...)
}

func (c conn) Exec(ctx context.Context, statement string, args ...any) error {
	_, err := c.tx.ExecContext(ctx, statement, args...)
	return err
}

// entries reads the index entries of the keys from one table, in the order of its rows.
func (i *Inspection) entries(ctx context.Context, tx *sql.Tx, c store.StoredRecords, table *writepath.Table, first, last store.RowKey) error {
	var found []writepath.Row
	err := i.each(ctx, tx, func(rows *sql.Rows) error {
		var r writepath.Row
		if err := rows.Scan(table.Fields(&r)...); err != nil {
			return err
		}
		found = append(found, r)
		return nil
	}, `SELECT row_key, param, `+strings.Join(table.Columns, ", ")+` FROM `+table.Name+` WHERE row_key BETWEEN ? AND ? ORDER BY row_key`, int64(first), int64(last))
	if err != nil {
		return err
	}
	for _, r := range found {
		name := ""
		if table.Named() {
			if name, err = i.name(ctx, tx, r.Number); err != nil {
				return err
			}
		}
		s := c.At(r.Key)
		s.Entries = append(s.Entries, table.Entry(r, name))
	}
	return nil
}

// name returns the text of an id in table name. Ids are never reused for another text.
func (i *Inspection) name(ctx context.Context, tx *sql.Tx, id int64) (string, error) {
	if text, ok := i.names[id]; ok {
		return text, nil
	}
	var text string
	err := i.one(ctx, tx, &text, `SELECT text FROM name WHERE name_id = ?`, id)
	if errors.Is(err, sql.ErrNoRows) {
		return fmt.Sprintf("(missing name %d)", id), nil
	}
	if err == nil {
		i.names[id] = text
	}
	return text, err
}
