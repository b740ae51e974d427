package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"
)

// interruptWait is how long an interrupted statement may take to end, before its connection is
// closed.
const interruptWait = 2 * time.Second

// interrupter cancels the statement of a connection when the context of the statement ends, and keeps
// the connection. The default of pgx closes it. Searches and selections are interrupted often, and
// a new session costs as much as a search: a process, its settings, and catalogues that are not cached.
type interrupter struct {
	conn *pgconn.PgConn
	stop context.CancelFunc // of the cancel request
	done chan struct{}      // is closed when the server has received it
}

// interruptible returns the interrupter of a connection.
func interruptible(conn *pgconn.PgConn) ctxwatch.Handler { return &interrupter{conn: conn} }

// HandleCancel implements ctxwatch.Handler.
func (i *interrupter) HandleCancel(context.Context) {
	deadline := time.Now().Add(interruptWait)
	_ = i.conn.Conn().SetDeadline(deadline) // if this fails, the connection is closed, which ends the statement
	ctx, stop := context.WithDeadline(context.Background(), deadline)
	i.stop, i.done = stop, make(chan struct{})
	go func() {
		defer close(i.done)
		_ = i.conn.CancelRequest(ctx) // if it fails, the deadline ends the statement
	}()
}

// HandleUnwatchAfterCancel implements ctxwatch.Handler. The server signals the session before it
// closes the connection of the request, so it does not cancel a later statement.
func (i *interrupter) HandleUnwatchAfterCancel() {
	<-i.done
	i.stop()
	_ = i.conn.Conn().SetDeadline(time.Time{})
}
