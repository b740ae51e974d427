package postgres

import (
	"context"

	"muster/internal/fhir"
	"muster/internal/store"
	"muster/internal/store/deadline"
	"muster/internal/store/searchsql"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// queries implements store.Searcher on one connection, without a deadline.
type queries struct {
	conn   *pgxpool.Conn
	counts *searchsql.CountCache
}

// connector returns a function that connects a searcher. All searchers share the counts.
func connector(pool *pgxpool.Pool, counts *searchsql.CountCache) deadline.Connect {
	return func(ctx context.Context) (store.Searcher, func(), error) {
		conn, err := pool.Acquire(ctx)
		if err != nil {
			return nil, nil, err
		}
		return &queries{conn, counts}, conn.Release, nil
	}
}

var _ store.Searcher = (*queries)(nil)

// Search implements store.Searcher. Its statements run in one read transaction with snapshot
// isolation.
func (q *queries) Search(ctx context.Context, search store.Search) (store.SearchResult, error) {
	tx, err := q.conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return store.SearchResult{}, err
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	session := searchsql.Session{
		Dialect:    searchsql.PostgreSQL,
		Count:      counting(tx),
		CountCache: q.counts,
		Rows: func(ctx context.Context, text searchsql.Statement) ([]store.Row, error) {
			return rowsOf(ctx, tx, text.SQL, text.Args...)
		},
	}
	return session.Find(ctx, search)
}

// querier is a transaction, a connection or a pool.
type querier interface {
	Query(ctx context.Context, query string, args ...any) (pgx.Rows, error)
}

// counting runs the counts by which the optimiser chooses the order of work.
func counting(tx pgx.Tx) searchsql.CountFunc {
	return func(ctx context.Context, s searchsql.Statement) (n int64, err error) {
		err = tx.QueryRow(ctx, s.SQL, s.Args...).Scan(&n)
		return n, err
	}
}

// rowColumns are the columns of a row in the order of rowFields.
const rowColumns = searchsql.RowColumns

// rowFields returns pointers to the fields of a row, for Scan.
func rowFields(r *store.Row) []any {
	return []any{(*int64)(&r.Key), &r.ID, &r.Version, (*int64)(&r.Committed), (*int64)(&r.LastUpdated), &r.Visibility, &r.Size}
}

// rowsOf runs a query that selects rowColumns.
func rowsOf(ctx context.Context, q querier, query string, args ...any) ([]store.Row, error) {
	rows, err := q.Query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	return pgx.AppendRows([]store.Row(nil), rows, func(row pgx.CollectableRow) (r store.Row, err error) {
		return r, row.Scan(rowFields(&r)...)
	})
}

// Nested loops keep the order of the arrays.
const (
	rowsOfKeys = `SELECT ` + rowColumns + ` FROM unnest($1::bigint[]) AS k (key) JOIN resource AS r ON r.row_key = k.key`
	rowsOfIDs  = `SELECT ` + rowColumns + ` FROM unnest($2::text[]) AS k (id) JOIN resource AS r ON r.type = $1 AND r.id = k.id`

	referencesOfRows = `SELECT x.row_key, n.text, x.id FROM unnest($1::bigint[]) AS k (key)
		JOIN ix_reference AS x ON x.row_key = k.key AND x.param = $2 JOIN name AS n ON n.name_id = x.type`

	// referrersOfIDs reads at most limit entries for each id, from a range of the index that
	// is in the order of the row keys.
	referrersOfIDs = `SELECT ` + rowColumns + ` FROM (
			SELECT DISTINCT x.row_key FROM unnest($1::text[]) AS k (id)
			CROSS JOIN LATERAL (SELECT y.row_key FROM ix_reference AS y WHERE y.param = $2 AND y.id = k.id
				AND y.type = (SELECT name_id FROM name WHERE text = $3) AND y.row_key BETWEEN $4 AND $5
				ORDER BY y.row_key LIMIT $6) AS x
			ORDER BY x.row_key LIMIT $6
		) AS found JOIN resource AS r ON r.row_key = found.row_key ORDER BY r.row_key`

	bodiesOfKeys = `SELECT ` + versionColumns + ` FROM unnest($1::bigint[]) AS k (key)
		JOIN resource AS r ON r.row_key = k.key JOIN doc AS d ON d.row_key = r.row_key`
)

// Rows implements store.Reader.
func (q *queries) Rows(ctx context.Context, keys []store.RowKey) ([]store.Row, error) {
	return rowsOf(ctx, q.conn, rowsOfKeys, int64s(keys))
}

// Lookup implements store.Reader.
func (q *queries) Lookup(ctx context.Context, t fhir.Type, ids []string) ([]store.Row, error) {
	return rowsOf(ctx, q.conn, rowsOfIDs, int64(t), ids)
}

// References implements store.Reader.
func (q *queries) References(ctx context.Context, keys []store.RowKey, param int) (references []store.Reference, err error) {
	err = eachRaw(ctx, q.conn, referencesOfRows, func(values [][]byte) error {
		if t, known := fhir.ParseType(string(values[1])); known {
			references = append(references, store.Reference{From: store.RowKey(decodeBigint(values[0])), Type: t, ID: string(values[2])})
		}
		return nil
	}, int64s(keys), int64(param))
	return references, err
}

// Referrers implements store.Reader.
func (q *queries) Referrers(ctx context.Context, t fhir.Type, param int, target fhir.Type, ids []string, limit int) ([]store.Row, error) {
	first, last := store.KeyRange(t)
	return rowsOf(ctx, q.conn, referrersOfIDs, ids, int64(param), target.String(), int64(first), int64(last), limit)
}

// Bodies implements store.Reader.
func (q *queries) Bodies(ctx context.Context, keys []store.RowKey, yield func(store.Row, []byte) error) error {
	return eachRaw(ctx, q.conn, bodiesOfKeys, func(values [][]byte) error {
		row, line, err := verified(values)
		if err != nil {
			return err
		}
		return yield(row, line)
	}, int64s(keys))
}
