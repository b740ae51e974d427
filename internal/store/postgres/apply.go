package postgres

import (
	"context"
	"fmt"
	"time"

	"muster/internal/failpoint"
	"muster/internal/fhir"
	"muster/internal/store"
	"muster/internal/store/writepath"

	"github.com/jackc/pgx/v5"
)

// Apply implements store.Directory.
func (s *Store) Apply(ctx context.Context, changes []store.Change) ([]store.Outcome, error) {
	return s.apply(ctx, changes, gateStatement, s.chunks.WriteChunks)
}

// ApplyAll implements store.Directory.
func (s *Store) ApplyAll(ctx context.Context, changes []store.Change, confirm func([]store.Outcome) error) ([]store.Outcome, error) {
	if len(changes) == 0 {
		return nil, confirm(nil)
	}
	return s.apply(ctx, changes, wholeStatement, writepath.AsOne(confirm))
}

// apply writes changes in transactions, whose statements have a timeout.
func (s *Store) apply(ctx context.Context, changes []store.Change, timeout string, write writepath.ChunkWriter) ([]store.Outcome, error) {
	left := false // dependants of the last transaction
	outcomes, err := writepath.WriteChanges(ctx, changes, func(ctx context.Context, changes []store.Change) (outcomes []store.Outcome, err error) {
		outcomes, left, err = s.writeInGate(ctx, changes, timeout, write)
		return outcomes, err
	})
	if err == nil && left {
		err = s.finishCascade(ctx)
	}
	if err != nil {
		return outcomes, fmt.Errorf("write resources: %w", explain(err))
	}
	return outcomes, nil
}

// writeInGate writes as many of the changes as one transaction takes, at least one. While a cascade
// is not finished, it writes a slice of that instead. It reports whether dependants are left.
func (s *Store) writeInGate(ctx context.Context, changes []store.Change, timeout string, write writepath.ChunkWriter) (outcomes []store.Outcome, left bool, err error) {
	gate, err := s.acquireGate(ctx)
	if err != nil {
		return nil, false, err
	}
	defer gate.release()
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := failpoint.Inject(ctx, "directory.apply.entered"); err != nil {
		return nil, false, err
	}
	if err := s.info.CheckWriter(s.rules); err != nil {
		return nil, false, err
	}
	if written, open, err := s.writeSlice(ctx, gate, gate.commit); err != nil || written {
		return nil, open, err
	}
	if timeout != gateStatement { // which the gate has set
		if _, err := gate.tx.ExecContext(ctx, `SELECT set_config('statement_timeout', $1, true)`, timeout); err != nil {
			return nil, false, err
		}
	}
	outcomes, left, err = s.writeTransaction(ctx, gate, changes, write)
	if err != nil {
		s.nameIDs = nil // some may have been rolled back
		return nil, false, err
	}
	_ = failpoint.Inject(ctx, "directory.apply.committed") // the transaction is committed: only a crash can stop the answer
	return outcomes, left, nil
}

// writeTransaction writes and commits.
func (s *Store) writeTransaction(ctx context.Context, gate *gateTx, changes []store.Change, write writepath.ChunkWriter) (outcomes []store.Outcome, left bool, err error) {
	start := time.Now()
	tx, err := s.newWriteTx(ctx, gate)
	if err != nil {
		return nil, false, err
	}
	err = gate.raw(func(conn *pgx.Conn) error {
		tx.conn = conn
		stored, err := readIdentity(ctx, conn)
		if err != nil {
			return err
		}
		if err := s.info.CheckUnchanged(stored); err != nil {
			return err
		}
		outcomes, err = write(start, changes, func(chunk []store.Change) (done []store.Outcome, last bool, err error) {
			done, left, err = tx.writeChunk(ctx, chunk)
			return done, left, err
		})
		return err
	})
	if err != nil {
		return nil, false, err
	}
	if err := failpoint.Inject(ctx, "directory.apply.commit"); err != nil {
		return nil, false, err
	}
	return outcomes, left, gate.tx.Commit()
}

// writeTx is a transaction inside the gate that writes resources.
type writeTx struct {
	s         *Store
	conn      *pgx.Conn
	committed fhir.Instant     // the commit time of all its versions
	horizon   fhir.Instant     // a live job needs versions committed up to here
	unlinked  []writepath.Text // of deleted index rows of this chunk; other rows may have them
}

// newWriteTx draws the commit time of a transaction.
func (s *Store) newWriteTx(ctx context.Context, gate *gateTx) (*writeTx, error) {
	committed, _, err := s.drawTime(ctx, gate)
	if err != nil {
		return nil, err
	}
	live, err := s.LiveTimes(ctx)
	if err != nil {
		return nil, err
	}
	return &writeTx{s: s, committed: committed, horizon: writepath.Horizon(live)}, nil
}
