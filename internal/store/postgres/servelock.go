package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// MarkServed marks the directory as served by this process too, until the returned
// value is closed or the process ends. Any number of processes may serve; while one
// does, nobody makes the index anew below it.
func (s *Store) MarkServed(ctx context.Context) (io.Closer, error) {
	lock, err := s.lockServed(ctx, `SELECT pg_try_advisory_lock_shared(`+serveLock+`)`,
		"its index is being made anew: start the server when 'muster reindex' has ended")
	if err != nil {
		return nil, err
	}
	found, _, err := readMeta(ctx, s.gate)
	if err == nil {
		err = s.info.Same(found.DefinitionsHash) // it may have been made anew before the lock was taken
	}
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return lock, nil
}

// LockUnserved keeps servers away until the returned value is closed or the process
// ends. It is refused while one serves.
func (s *Store) LockUnserved(ctx context.Context) (io.Closer, error) {
	return s.lockServed(ctx, `SELECT pg_try_advisory_lock(`+serveLock+`)`,
		"it is being served, or another process makes its index anew: stop that one first")
}

// lockServed takes the lock in a session of its own, which is ended with it.
func (s *Store) lockServed(ctx context.Context, try, refusal string) (io.Closer, error) {
	conn, err := s.gate.Conn(ctx)
	if err != nil {
		return nil, fmt.Errorf("mark the directory as served: %w", explain(err))
	}
	var held bool
	if err := conn.QueryRowContext(ctx, try).Scan(&held); err != nil || !held {
		if err == nil {
			err = errors.New(refusal)
		}
		return nil, errors.Join(fmt.Errorf("mark the directory as served: %w", explain(err)), conn.Close())
	}
	return closer(func() error {
		// The session goes back into the pool without the lock.
		_, err := conn.ExecContext(context.WithoutCancel(ctx), `SELECT pg_advisory_unlock_all()`)
		return errors.Join(err, conn.Close())
	}), nil
}

type closer func() error

func (c closer) Close() error { return c() }
