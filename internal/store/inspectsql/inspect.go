package inspectsql

import (
	"context"
	"database/sql"
	"fmt"

	"muster/internal/fhir"
	"muster/internal/store/jobsql"
	"muster/internal/store/placeholder"

	"muster/internal/store/sqlrows"
)

// Dialect describes how databases differ. The zero value is the dialect of SQLite.
type Dialect struct {
	// Numbered reports that placeholders are $1, $2, … instead of ?.
	Numbered bool
	// JSONKeys is the query that returns the numbers of a JSON array, its argument, as
	// column value.
	JSONKeys string
	// SnapshotIsolation is the isolation level of a transaction whose reads all see the
	// same snapshot.
	SnapshotIsolation sql.IsolationLevel
	// Explain adds what to do to those database errors that an operator can resolve.
	Explain func(error) error
}

// Inspection reads a directory in a database. It implements store.Inspector except for
// Integrity. It is not safe for use by several goroutines.
type Inspection struct {
	db      *sql.DB
	jobs    *jobsql.Jobs
	dialect Dialect
	names   map[int64]string
}

// New returns an inspection of the resources in db and of the jobs.
func New(db *sql.DB, jobs *jobsql.Jobs, d Dialect) *Inspection {
	return &Inspection{db: db, jobs: jobs, dialect: d, names: map[int64]string{}}
}

// Read runs f in one read-only transaction with snapshot isolation.
func (i *Inspection) Read(ctx context.Context, f func(tx *sql.Tx) error) error {
	tx, err := i.db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true, Isolation: i.dialect.SnapshotIsolation})
	if err != nil {
		return i.dialect.Explain(err)
	}
	defer func() { _ = tx.Rollback() }()
	return i.dialect.Explain(f(tx))
}

func (i *Inspection) each(ctx context.Context, tx *sql.Tx, row func(*sql.Rows) error, query string, args ...any) error {
	return sqlrows.Query(ctx, tx, row, i.text(query), args...)
}

func (i *Inspection) one(ctx context.Context, tx *sql.Tx, to any, query string, args ...any) error {
	return tx.QueryRowContext(ctx, i.text(query), args...).Scan(to)
}

func (i *Inspection) text(query string) string {
	if i.dialect.Numbered {
		return placeholder.Number(query)
	}
	return query
}

// Clock implements store.Inspector.
func (i *Inspection) Clock(ctx context.Context) (at fhir.Instant, err error) {
	err = i.Read(ctx, func(tx *sql.Tx) error { return i.one(ctx, tx, &at, `SELECT last FROM clock`) })
	if err != nil {
		return 0, fmt.Errorf("read clock: %w", err)
	}
	return at, nil
}
