package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"time"

	"muster/internal/store"
	"muster/internal/store/metasql"
)

// serveMark implements store.ServeMark with a lock of a session. The database may end the
// session, so Watch checks it.
type serveMark struct {
	store *Store
	lock  *sessionLock // nil while the session is lost
}

// MarkServed implements store.Serving. Any number of processes may serve the directory. While
// one does, the index cannot be rebuilt.
func (s *Store) MarkServed(ctx context.Context) (store.ServeMark, error) {
	lock, err := s.lockServed(ctx)
	if err != nil {
		return nil, err
	}
	return &serveMark{s, lock}, nil
}

func (s *Store) lockServed(ctx context.Context) (*sessionLock, error) {
	lock, err := s.lockSession(ctx, `SELECT pg_try_advisory_lock_shared(`+serveLock+`)`,
		"its index is being rebuilt: start the server when 'muster reindex' has ended")
	if err != nil {
		return nil, err
	}
	found, _, err := metasql.Read(ctx, s.gate)
	if err == nil {
		// The index may have been rebuilt, or the directory moved, before the lock was
		// acquired.
		if changed := s.info.CheckUnchanged(found); changed != nil {
			err = conflictError{changed}
		}
	}
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return lock, nil
}

const (
	watchInterval = 2 * time.Second  // between two checks of the session of a mark
	watchTimeout  = 10 * time.Second // of one check
)

// Watch implements store.ServeMark. It replaces a session that is lost, for example because
// the database was restarted. It returns an error if another process rebuilds the index in the
// meantime, or has rebuilt it for other definitions: this process must stop serving.
func (m *serveMark) Watch(ctx context.Context) error {
	tick := time.NewTicker(watchInterval)
	defer tick.Stop()
	for {
		if err := m.check(ctx); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// check replaces the session if it is lost. It only returns errors that a retry cannot fix.
func (m *serveMark) check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, watchTimeout)
	defer cancel()
	if m.lock != nil {
		if err := m.lock.conn.PingContext(ctx); err == nil || errors.Is(ctx.Err(), context.Canceled) {
			return nil
		}
		_ = m.lock.conn.Close() // the pool discards it
		m.lock = nil
	}
	lock, err := m.store.lockServed(ctx)
	var conflict conflictError
	switch {
	case err == nil:
		m.lock = lock
	case errors.As(err, &conflict):
		return fmt.Errorf("the database ended the session that marked the directory as served, and the mark cannot be set again: %w", err)
	}
	return nil
}

// Close implements store.ServeMark. The lock of a lost session has ended with it.
func (m *serveMark) Close() error {
	if m.lock != nil {
		_ = m.lock.Close()
	}
	return nil
}

// EndClaims ends no claims: other servers on the database may hold them. The claims of a
// server that died end with their leases.
func (s *Store) EndClaims(context.Context) (int64, error) { return 0, nil }

// conflictError reports that another process serves the directory or rebuilds its index.
type conflictError struct{ error }

func (c conflictError) Unwrap() error { return c.error }

// OpenUnserved opens the database while no server runs on it, and keeps servers away until
// the lock is closed. Close the lock before the store.
func OpenUnserved(ctx context.Context, url string, o store.Options) (*Store, io.Closer, error) {
	s, err := Open(ctx, url, o)
	if err != nil {
		return nil, nil, err
	}
	lock, err := s.lockUnserved(ctx)
	if err != nil {
		return nil, nil, errors.Join(err, s.Close())
	}
	return s, lock, nil
}

// lockUnserved keeps servers away until the lock is closed or the process ends. It returns an
// error while a server runs.
func (s *Store) lockUnserved(ctx context.Context) (*sessionLock, error) {
	return s.lockSession(ctx, `SELECT pg_try_advisory_lock(`+serveLock+`)`,
		"it is being served, or another process rebuilds its index: stop that process first")
}

// sessionLock is an advisory lock of a session.
type sessionLock struct{ conn *sql.Conn }

// lockSession runs a statement that tries to acquire a lock, in a session of its own. refusal
// is the error if the lock is not free.
func (s *Store) lockSession(ctx context.Context, tryLock, refusal string) (*sessionLock, error) {
	conn, err := s.gate.Conn(ctx)
	if err != nil {
		return nil, fmt.Errorf("lock the directory: %w", explain(err))
	}
	var free bool
	if err := conn.QueryRowContext(ctx, tryLock).Scan(&free); err != nil || !free {
		if err == nil {
			err = conflictError{errors.New(refusal)}
		}
		return nil, errors.Join(fmt.Errorf("lock the directory: %w", explain(err)), conn.Close())
	}
	return &sessionLock{conn}, nil
}

// Close releases the lock and returns the session to the pool.
func (l *sessionLock) Close() error {
	_, err := l.conn.ExecContext(context.Background(), `SELECT pg_advisory_unlock_all()`)
	return errors.Join(err, l.conn.Close())
}
