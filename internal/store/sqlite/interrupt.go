package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"sync"

	"modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"
)

// openReaders returns a pool of connections whose statements end with their context. The
// driver alone interrupts a statement only until its first row: a statement that finds one
// row at once and no other then runs to its end, although its deadline has passed, and
// database/sql waits for it.
func openReaders(dsn string) (*sql.DB, error) {
	c, err := sqlite.NewConnector(dsn)
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(interruptible{c}), nil
}

// interruptible is a connector whose connections interrupt each query when its context ends.
type interruptible struct{ driver.Connector }

// Connect implements [driver.Connector].
func (i interruptible) Connect(ctx context.Context) (driver.Conn, error) {
	opened, err := i.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	handle, err := handleOf(opened)
	c, ok := opened.(readerConn)
	if err == nil && !ok {
		err = fmt.Errorf("the driver %T lacks methods of connections: use the version of modernc.org/sqlite in go.mod", opened)
	}
	if err != nil {
		return nil, errors.Join(err, opened.Close())
	}
	return &interruptibleConn{readerConn: c, handle: handle}, nil
}

// readerConn is what database/sql uses of a connection that reads.
type readerConn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.QueryerContext
	driver.Pinger
	driver.SessionResetter
	driver.Validator
}

// interruptibleConn is a connection with the handle that sqlite3_interrupt takes. The driver
// does not export either.
type interruptibleConn struct {
	readerConn
	handle uintptr
}

// QueryContext implements [driver.QueryerContext].
func (c *interruptibleConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	rows, err := c.readerConn.QueryContext(ctx, query, args)
	if err != nil {
		return nil, err
	}
	r := &interruptibleRows{Rows: rows, handle: c.handle}
	r.stop = context.AfterFunc(ctx, r.interrupt)
	return r, nil
}

// interruptibleRows are the rows of a query that its context interrupts.
type interruptibleRows struct {
	driver.Rows
	handle uintptr
	stop   func() bool

	mu     sync.Mutex
	closed bool // the connection may already run another statement
}

// interrupt makes the statement return an error. SQLite forgets the interrupt when the
// connection runs no statement any more. It changes one field of the connection, for which it
// needs no thread state.
func (r *interruptibleRows) interrupt() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.closed {
		lib.Xsqlite3_interrupt(nil, r.handle)
	}
}

// Close implements [driver.Rows].
func (r *interruptibleRows) Close() error {
	r.stop()
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	return r.Rows.Close()
}
