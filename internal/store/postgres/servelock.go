package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"time"
)

// Mark is the mark of a process that serves the directory. It stands and falls with one
// session, which the database may end: who serves must [Mark.Watch] it.
type Mark struct {
	store *Store
	held  *held
}

// MarkServed marks the directory as served by this process too, until the mark is
// closed or the process ends. Any number of processes may serve; while one
// does, nobody makes the index anew below it.
func (s *Store) MarkServed(ctx context.Context) (*Mark, error) {
	lock, err := s.markServed(ctx)
	if err != nil {
		return nil, err
	}
	return &Mark{s, lock}, nil
}

func (s *Store) markServed(ctx context.Context) (*held, error) {
	lock, err := s.lockServed(ctx, `SELECT pg_try_advisory_lock_shared(`+serveLock+`)`,
		"its index is being made anew: start the server when 'muster reindex' has ended")
	if err != nil {
		return nil, err
	}
	found, _, err := readMeta(ctx, s.gate)
	if err == nil {
		// It may have been made anew before the lock was taken.
		if changed := s.info.CheckUnchanged(found.DefinitionsHash); changed != nil {
			err = barred{changed}
		}
	}
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return lock, nil
}

// lookEvery is the pause between two looks at the session of a mark, and lookFor how long
// the database may take to answer one.
const (
	lookEvery = 2 * time.Second
	lookFor   = 10 * time.Second
)

// Watch sees to it that the directory stays marked until ctx ends, and then returns nil. A
// session that is lost, as when the database was restarted, is replaced by another. When
// somebody makes the index anew meanwhile, or has done so for other definitions, that is an
// error: this process must not serve any longer. Close the mark after Watch has returned.
func (m *Mark) Watch(ctx context.Context) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		if err := m.look(ctx); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// look replaces a session that is lost. It returns only errors that no waiting mends.
func (m *Mark) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, lookFor)
	defer cancel()
	if m.held != nil {
		if err := m.held.conn.PingContext(ctx); err == nil || errors.Is(ctx.Err(), context.Canceled) {
			return nil
		}
		_ = m.held.conn.Close() // the pool throws it away
		m.held = nil
	}
	lock, err := m.store.markServed(ctx)
	var by barred
	switch {
	case err == nil:
		m.held = lock
	case errors.As(err, &by):
		return fmt.Errorf("the database ended the session that marked the directory as served, and the mark cannot be set again: %w", err)
	}
	return nil
}

// Close takes the mark away. That of a session that is lost has gone with it.
func (m *Mark) Close() error {
	if m.held != nil {
		_ = m.held.Close()
	}
	return nil
}

// barred is an error that says that somebody else works on the directory.
type barred struct{ error }

func (b barred) Unwrap() error { return b.error }

// LockUnserved keeps servers away until the returned value is closed or the process
// ends. It is refused while one serves.
func (s *Store) LockUnserved(ctx context.Context) (io.Closer, error) {
	lock, err := s.lockServed(ctx, `SELECT pg_try_advisory_lock(`+serveLock+`)`,
		"it is being served, or another process makes its index anew: stop that one first")
	if err != nil {
		return nil, err
	}
	return lock, nil
}

// lockServed takes the lock in a session of its own.
func (s *Store) lockServed(ctx context.Context, try, refusal string) (*held, error) {
	conn, err := s.gate.Conn(ctx)
	if err != nil {
		return nil, fmt.Errorf("mark the directory as served: %w", explain(err))
	}
	var free bool
	if err := conn.QueryRowContext(ctx, try).Scan(&free); err != nil || !free {
		if err == nil {
			err = barred{errors.New(refusal)}
		}
		return nil, errors.Join(fmt.Errorf("mark the directory as served: %w", explain(err)), conn.Close())
	}
	return &held{conn}, nil
}

// held is a lock that a session holds.
type held struct{ conn *sql.Conn }

// Close gives the lock back, and the session without it to the pool.
func (h *held) Close() error {
	_, err := h.conn.ExecContext(context.Background(), `SELECT pg_advisory_unlock_all()`)
	return errors.Join(err, h.conn.Close())
}
