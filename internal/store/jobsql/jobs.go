package jobsql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"muster/internal/client"
	"muster/internal/failpoint"
	"muster/internal/fhir"
	"muster/internal/share"
	"muster/internal/store"
	"muster/internal/store/placeholder"
	"muster/internal/store/sqlrows"
)

// Dialect describes how databases differ. The zero value is the dialect of SQLite with
// transactions that begin IMMEDIATE.
type Dialect struct {
	// Numbered reports that placeholders are $1, $2, … instead of ?.
	Numbered bool
	// LockJob is the statement that locks a job by id until the end of the transaction. It
	// is empty if no other transaction can write at the same time.
	LockJob string
	// LockClient is the statement that prevents other transactions from storing a job that
	// counts under the same name of a client. It is empty if no other transaction can write at
	// the same time.
	LockClient string
	// SkipLocked and WaitLocked are the locking clauses of the query for the next row to
	// claim: SkipLocked skips rows that are locked, WaitLocked waits for them.
	SkipLocked, WaitLocked string
	// Transactions is how many transactions that write run at once. Defaults to 1.
	Transactions int
	// SnapshotIsolation is the isolation level of a transaction whose reads all see the
	// same snapshot.
	SnapshotIsolation sql.IsolationLevel
	// Explain adds what to do to those database errors that an operator can resolve.
	// Optional.
	Explain func(error) error
	// Stale reports whether a transaction failed to begin because its connection was
	// already closed. Optional.
	Stale func(error) bool
}

// Jobs implements [store.Jobs] on a database that has its tables.
type Jobs struct {
	db      *sql.DB
	readers *sql.DB
	relaxed *sql.DB // its commits do not wait for the disk
	dialect Dialect
	turns   *share.Queue // of transactions that write
}

var _ store.Jobs = (*Jobs)(nil)

// New returns the job store in a database.
func New(db *sql.DB, d Dialect) *Jobs {
	places := max(1, d.Transactions)
	return &Jobs{db, db, db, d, share.NewQueue(places, (places+1)/2, maxWaiting)}
}

// maxWaiting is how many transactions wait. Further ones of the client with the most waiting are
// refused with [share.ErrFull].
const maxWaiting = 1000

// SetReader sets the connections for methods that only read, so that no poll waits for a
// commit. They must see every commit at once. Call SetReader before any other method.
func (j *Jobs) SetReader(readers *sql.DB) { j.readers = readers }

// SetRelaxed sets the connections for changes that may be lost by a power cut, though not by a crash
// of the program. A later commit of the others must sync these changes too. Call SetRelaxed before
// any other method.
func (j *Jobs) SetRelaxed(relaxed *sql.DB) { j.relaxed = relaxed }

// LiveTimes returns the transaction times of the jobs that still read old versions, which
// are those that are Selecting or Writing. Writers keep superseded versions for them (D3).
func (j *Jobs) LiveTimes(ctx context.Context) ([]fhir.Instant, error) {
	rows, err := j.reader().query(ctx, `SELECT time FROM job WHERE state IN (?, ?) AND time > 0 ORDER BY time`, store.Selecting, store.Writing)
	if err != nil {
		return nil, fmt.Errorf("read times of live jobs: %w", err)
	}
	times, err := sqlrows.Collect(rows, func(rows *sql.Rows) (t fhir.Instant, err error) { return t, rows.Scan(&t) })
	if err != nil {
		return nil, fmt.Errorf("read times of live jobs: %w", err)
	}
	return times, nil
}

// queryer is a database or a transaction.
type queryer interface {
	sqlrows.Querier
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// executor runs statements in the dialect of the database.
type executor struct {
	on      queryer
	dialect *Dialect
}

func (j *Jobs) reader() executor { return executor{j.readers, &j.dialect} }

func (r executor) query(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	return r.on.QueryContext(ctx, r.text(query), args...)
}

func (r executor) queryRow(ctx context.Context, query string, args ...any) *sql.Row {
	return r.on.QueryRowContext(ctx, r.text(query), args...)
}

func (r executor) exec(ctx context.Context, query string, args ...any) (sql.Result, error) {
	return r.on.ExecContext(ctx, r.text(query), args...)
}

// text returns the statement with the placeholders of the database. Every question mark in
// the statements of this package is a placeholder.
func (r executor) text(query string) string {
	if !r.dialect.Numbered {
		return query
	}
	return placeholder.Number(query)
}

// change runs f in one transaction. With an id, it locks that job first. An error of f
// rolls the transaction back. In a context of [Within], f runs in the transaction of the
// caller.
func (j *Jobs) change(ctx context.Context, id string, f func(tx executor) error) error {
	return j.explain(j.transact(ctx, j.db, id, f))
}

// progress is change for the progress of a job, which no client relies on: claims, selections and
// polls. If a power cut undoes it, the job is where it was before, and work is repeated. So an
// export waits for the disk when it is accepted, when a file is complete, and when it ends.
func (j *Jobs) progress(ctx context.Context, id string, f func(tx executor) error) error {
	return j.explain(j.transact(ctx, j.relaxed, id, f))
}

// explain adds to an error what an operator can do about it.
func (j *Jobs) explain(err error) error {
	if err != nil && j.dialect.Explain != nil {
		return j.dialect.Explain(err)
	}
	return err
}

func (j *Jobs) transact(ctx context.Context, on *sql.DB, id string, f func(tx executor) error) error {
	if outer, ok := ctx.Value(within{}).(*sql.Tx); ok {
		return j.withLock(ctx, executor{outer, &j.dialect}, id, f)
	}
	if err := j.commit(ctx, on, id, f); err != nil {
		return err
	}
	return failpoint.Inject(ctx, "jobs.committed")
}

// commit runs f in a new transaction and commits it. Workers go first, and clients in turn: a
// commit takes milliseconds, and without turns an export would wait at each step for the requests
// of hundreds of clients.
func (j *Jobs) commit(ctx context.Context, on *sql.DB, id string, f func(tx executor) error) error {
	place, err := j.turns.Enter(ctx, client.From(ctx))
	if err != nil {
		return err
	}
	defer place.Leave(false)
	tx, release, err := j.begin(ctx, on)
	if err != nil {
		return err
	}
	defer release()
	if err := j.withLock(ctx, executor{tx, &j.dialect}, id, f); err != nil {
		return errors.Join(err, rollBack(ctx, tx))
	}
	if err := failpoint.Inject(ctx, "jobs.commit"); err != nil {
		return errors.Join(err, rollBack(ctx, tx))
	}
	return tx.Commit()
}

// begin starts a transaction on a connection. The end of ctx cancels its statements, but not its COMMIT: a
// worker that did not wait for the result would not know whether it has the claim. begin
// skips connections that are already closed. Call release at the end.
func (j *Jobs) begin(ctx context.Context, on *sql.DB) (tx *sql.Tx, release func(), err error) {
	for tries := maxStale; ; tries-- {
		conn, err := on.Conn(ctx)
		if err != nil {
			return nil, nil, err
		}
		tx, err := conn.BeginTx(context.WithoutCancel(ctx), nil)
		if err == nil {
			return tx, func() { _ = conn.Close() }, nil
		}
		_ = conn.Close()
		if j.dialect.Stale == nil || !j.dialect.Stale(err) || tries == 0 {
			return nil, nil, err
		}
	}
}

// maxStale is how many closed connections begin skips.
const maxStale = 10

// withLock calls f. With an id, it locks that job first if other transactions could write.
func (j *Jobs) withLock(ctx context.Context, tx executor, id string, f func(tx executor) error) error {
	if id != "" && j.dialect.LockJob != "" {
		if _, err := tx.exec(ctx, j.dialect.LockJob, id); err != nil {
			return err
		}
	}
	return f(tx)
}

type within struct{}

// Within returns a context in which jobs are changed in tx, which the driver has begun and
// commits. After an error the driver must roll tx back.
func Within(ctx context.Context, tx *sql.Tx) context.Context {
	return context.WithValue(ctx, within{}, tx)
}

// rollBack rolls a transaction back. It ignores an error after the end of ctx, which may
// have closed the connection and ended the transaction already.
func rollBack(ctx context.Context, tx *sql.Tx) error {
	if err := tx.Rollback(); err != nil && ctx.Err() == nil {
		return err
	}
	return nil
}
