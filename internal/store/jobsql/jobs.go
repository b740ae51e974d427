package jobsql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"muster/internal/failpoint"
	"muster/internal/fhir"
	"muster/internal/store"
	"muster/internal/store/placeholder"
)

// Dialect is what differs between databases. The zero value is SQLite's, in
// transactions that begin IMMEDIATE.
type Dialect struct {
	// Numbered says that arguments are written $1, $2, … instead of ?.
	Numbered bool
	// LockJob locks the job with an id until the end of the transaction; empty where
	// no other transaction can be writing.
	LockJob string
	// LockOwner keeps others from storing a job of the owner meanwhile.
	LockOwner string
	// PickFree and PickNext follow the selection of a row of job to claim work of:
	// one passes over what others have locked, one waits for it.
	SkipLocked, WaitLocked string
	// OneMoment is the isolation of a transaction whose reads all see one moment.
	SnapshotIsolation sql.IsolationLevel
	// Explain puts the way out before errors of the database that an operator can do
	// something about. Optional.
	Explain func(error) error
	// Stale reports whether a transaction could not begin because its connection had
	// been closed before; nil where there are none.
	Stale func(error) bool
}

// Jobs implements [store.Jobs] on a database that has its tables.
type Jobs struct {
	db      *sql.DB
	readers *sql.DB
	dialect Dialect
}

var _ store.Jobs = (*Jobs)(nil)

// New returns the job store in a database.
func New(db *sql.DB, d Dialect) *Jobs { return &Jobs{db, db, d} }

// ReadFrom lets what only reads use other connections to the database, so that no poll
// waits for a commit. They must see every commit at once. It is called before anything else.
func (j *Jobs) SetReader(readers *sql.DB) { j.readers = readers }

// LiveTimes returns the transaction times of the jobs that still read old
// versions: those that are selecting or writing. Writers keep for them what they
// supersede (D3).
func (j *Jobs) LiveTimes(ctx context.Context) ([]fhir.Instant, error) {
	rows, err := j.reader().query(ctx, `SELECT time FROM job WHERE state IN (?, ?) AND time > 0 ORDER BY time`, store.Selecting, store.Writing)
	if err != nil {
		return nil, fmt.Errorf("reading the times of live jobs: %w", err)
	}
	times, err := Collect(rows, func(rows *sql.Rows) (t fhir.Instant, err error) { return t, rows.Scan(&t) })
	if err != nil {
		return nil, fmt.Errorf("reading the times of live jobs: %w", err)
	}
	return times, nil
}

// queryer is a database or a transaction.
type queryer interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// executor runs statements in their dialect.
type executor struct {
	on      queryer
	dialect *Dialect
}

func (j *Jobs) reader() executor { return executor{j.readers, &j.dialect} }
func (j *Jobs) writer() executor { return executor{j.db, &j.dialect} }

func (r executor) query(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	return r.on.QueryContext(ctx, r.text(query), args...)
}

func (r executor) queryRow(ctx context.Context, query string, args ...any) *sql.Row {
	return r.on.QueryRowContext(ctx, r.text(query), args...)
}

func (r executor) exec(ctx context.Context, query string, args ...any) (sql.Result, error) {
	return r.on.ExecContext(ctx, r.text(query), args...)
}

// text writes the arguments of a statement as the database wants them. No
// statement here has a question mark that is not one.
func (r executor) text(query string) string {
	if !r.dialect.Numbered {
		return query
	}
	return placeholder.Number(query)
}

// change runs one transaction on the job with the id, or on any job if it is empty.
// An error of f rolls everything back. In a context of [Within] it is a part of the
// transaction there.
func (j *Jobs) change(ctx context.Context, id string, f func(tx executor) error) error {
	err := j.transact(ctx, id, f)
	if err != nil && j.dialect.Explain != nil {
		return j.dialect.Explain(err)
	}
	return err
}

func (j *Jobs) transact(ctx context.Context, id string, f func(tx executor) error) error {
	if outer, ok := ctx.Value(within{}).(*sql.Tx); ok {
		return j.withLock(ctx, executor{outer, &j.dialect}, id, f)
	}
	if err := j.commit(ctx, id, f); err != nil {
		return err
	}
	return failpoint.Inject(ctx, "jobs.committed")
}

// commit runs and commits a transaction of its own.
func (j *Jobs) commit(ctx context.Context, id string, f func(tx executor) error) error {
	tx, release, err := j.begin(ctx)
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

// begin starts a transaction, whose statements ctx ends, but not its COMMIT: who does not
// wait for the answer does not know whether he has the claim that others see him have.
// Connections that are found to be closed are passed over. Call release at the end.
func (j *Jobs) begin(ctx context.Context) (tx *sql.Tx, release func(), err error) {
	for tries := maxStale; ; tries-- {
		conn, err := j.db.Conn(ctx)
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

// maxStale is how many connections may be found closed one after the other.
const maxStale = 10

// locked locks the job, if there is an id and others could write, and then calls f.
func (j *Jobs) withLock(ctx context.Context, tx executor, id string, f func(tx executor) error) error {
	if id != "" && j.dialect.LockJob != "" {
		if _, err := tx.exec(ctx, j.dialect.LockJob, id); err != nil {
			return err
		}
	}
	return f(tx)
}

type within struct{}

// Within returns a context in which changes of jobs are made in a transaction that
// the driver has begun and will commit. An error leaves it to be rolled back.
func Within(ctx context.Context, tx *sql.Tx) context.Context {
	return context.WithValue(ctx, within{}, tx)
}

// rollBack ends a transaction that is not committed. The end of ctx may have taken the
// connection already, and the transaction with it: that is no error.
func rollBack(ctx context.Context, tx *sql.Tx) error {
	if err := tx.Rollback(); err != nil && ctx.Err() == nil {
		return err
	}
	return nil
}

// Collect reads all rows and closes them.
func Collect[T any](rows *sql.Rows, scan func(*sql.Rows) (T, error)) (all []T, err error) {
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		one, err := scan(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, rows.Err()
}
