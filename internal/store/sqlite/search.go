package sqlite

import (
	"context"
	"database/sql"

	"muster/internal/fhir"
	"muster/internal/store"
	"muster/internal/store/deadline"
	"muster/internal/store/searchsql"
	"muster/internal/store/sqlrows"
)

// queries implements store.Searcher on one connection, without a deadline.
type queries struct {
	conn   *sql.Conn
	counts *searchsql.CountCache
}

// connector returns a function that connects a searcher. All searchers share the counts.
func connector(db *sql.DB, counts *searchsql.CountCache) deadline.Connect {
	return func(ctx context.Context) (store.Searcher, func(), error) {
		conn, err := db.Conn(ctx)
		if err != nil {
			return nil, nil, err
		}
		return &queries{conn, counts}, func() { _ = conn.Close() }, nil
	}
}

var _ store.Searcher = (*queries)(nil)

// Search implements store.Searcher. Its statements run in one read transaction.
func (q *queries) Search(ctx context.Context, search store.Search) (store.SearchResult, error) {
	tx, err := q.conn.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return store.SearchResult{}, err
	}
	defer func() { _ = tx.Rollback() }()
	session := searchsql.Session{
		Dialect:    searchsql.SQLite,
		Count:      counting(tx),
		CountCache: q.counts,
		Rows: func(ctx context.Context, text searchsql.Statement) ([]store.Row, error) {
			return rowsOf(ctx, tx, text.SQL, text.Args...)
		},
	}
	return session.Find(ctx, search)
}

// counting runs the counts by which the optimiser chooses the order of work.
func counting(tx *sql.Tx) searchsql.CountFunc {
	return func(ctx context.Context, s searchsql.Statement) (n int64, err error) {
		err = tx.QueryRowContext(ctx, s.SQL, s.Args...).Scan(&n)
		return n, err
	}
}

// rowColumns are the columns of a row in the order of rowFields.
const rowColumns = searchsql.RowColumns

// rowFields returns pointers to the fields of a row, for Scan.
func rowFields(r *store.Row) []any {
	return []any{&r.Key, &r.ID, &r.Version, &r.Committed, &r.LastUpdated, &r.Visibility, &r.Size}
}

// rowsOf runs a query that selects rowColumns.
func rowsOf(ctx context.Context, q sqlrows.Querier, query string, args ...any) (found []store.Row, err error) {
	err = sqlrows.Query(ctx, q, func(rows *sql.Rows) error {
		var r store.Row
		err := rows.Scan(rowFields(&r)...)
		found = append(found, r)
		return err
	}, query, args...)
	return found, err
}

const (
	rowsOfKeys = `SELECT ` + rowColumns + ` FROM json_each(?1) AS j
		CROSS JOIN resource AS r NOT INDEXED ON r.row_key = j.value`
	rowsOfIDs = `SELECT ` + rowColumns + ` FROM json_each(?2) AS j
		CROSS JOIN resource AS r INDEXED BY resource_id ON r.type = ?1 AND r.id = j.value`

	referencesOfRows = `SELECT x.row_key, n.text, x.id FROM json_each(?1) AS j
		CROSS JOIN ix_reference AS x INDEXED BY sqlite_autoindex_ix_reference_1 ON x.row_key = j.value AND x.param = ?2
		CROSS JOIN name AS n ON n.name_id = x.type`

	// referrersOfIDs reads at most limit entries for each id: the inner selection ends its
	// range of the index there. The index is in the order of the row keys.
	referrersOfIDs = `SELECT ` + rowColumns + ` FROM resource AS r NOT INDEXED WHERE r.row_key IN (
		SELECT x.row_key FROM json_each(?1) AS j
		CROSS JOIN ix_reference AS x INDEXED BY ix_reference_value ON x.param = ?2 AND x.id = j.value
			AND x.type = (SELECT name_id FROM name WHERE text = ?3)
			AND x.row_key BETWEEN ?4 AND coalesce((
				SELECT y.row_key FROM ix_reference AS y INDEXED BY ix_reference_value
				WHERE y.param = ?2 AND y.id = j.value AND y.type = (SELECT name_id FROM name WHERE text = ?3) AND y.row_key >= ?4
				ORDER BY y.row_key LIMIT 1 OFFSET ?6 - 1), ?5)
	) ORDER BY r.row_key LIMIT ?6`

	bodiesOfKeys = `SELECT ` + versionColumns + ` FROM json_each(?1) AS j
		CROSS JOIN resource AS r NOT INDEXED ON r.row_key = j.value
		CROSS JOIN doc AS d ON d.row_key = r.row_key`
)

// Rows implements store.Reader.
func (q *queries) Rows(ctx context.Context, keys []store.RowKey) ([]store.Row, error) {
	return rowsOf(ctx, q.conn, rowsOfKeys, asJSON(keys))
}

// Lookup implements store.Reader.
func (q *queries) Lookup(ctx context.Context, t fhir.Type, ids []string) ([]store.Row, error) {
	return rowsOf(ctx, q.conn, rowsOfIDs, t, asJSON(ids))
}

// References implements store.Reader.
func (q *queries) References(ctx context.Context, keys []store.RowKey, param int) (references []store.Reference, err error) {
	err = sqlrows.Query(ctx, q.conn, func(rows *sql.Rows) error {
		var r store.Reference
		var typeName string
		if err := rows.Scan(&r.From, &typeName, &r.ID); err != nil {
			return err
		}
		var known bool
		if r.Type, known = fhir.ParseType(typeName); known {
			references = append(references, r)
		}
		return nil
	}, referencesOfRows, asJSON(keys), param)
	return references, err
}

// Referrers implements store.Reader.
func (q *queries) Referrers(ctx context.Context, t fhir.Type, param int, target fhir.Type, ids []string, limit int) ([]store.Row, error) {
	first, last := store.KeyRange(t)
	return rowsOf(ctx, q.conn, referrersOfIDs, asJSON(ids), param, target.String(), first, last, limit)
}

// Bodies implements store.Reader.
func (q *queries) Bodies(ctx context.Context, keys []store.RowKey, yield func(store.Row, []byte) error) error {
	var v version
	return sqlrows.Query(ctx, q.conn, func(rows *sql.Rows) error {
		if err := v.scan(rows); err != nil {
			return err
		}
		if err := v.verify(); err != nil {
			return err
		}
		return yield(v.row, v.body)
	}, bodiesOfKeys, asJSON(keys))
}
