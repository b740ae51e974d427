package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"muster/internal/failpoint"
	"muster/internal/fhir"
	"muster/internal/store"
	"muster/internal/store/metasql"
	"muster/internal/store/writepath"
)

// Apply implements store.Directory.
func (s *Store) Apply(ctx context.Context, changes []store.Change) ([]store.Outcome, error) {
	return s.apply(ctx, changes, s.writer.chunks.WriteChunks)
}

// ApplyAll implements store.Directory.
func (s *Store) ApplyAll(ctx context.Context, changes []store.Change, confirm func([]store.Outcome) error) ([]store.Outcome, error) {
	if len(changes) == 0 {
		return nil, confirm(nil)
	}
	return s.apply(ctx, changes, writepath.AsOne(confirm))
}

// apply writes changes in transactions.
func (s *Store) apply(ctx context.Context, changes []store.Change, write writepath.ChunkWriter) ([]store.Outcome, error) {
	left := false // dependants of the last transaction
	outcomes, err := writepath.WriteChanges(ctx, changes, func(ctx context.Context, changes []store.Change) (outcomes []store.Outcome, err error) {
		outcomes, left, err = s.writeInGate(ctx, changes, write)
		return outcomes, err
	})
	if err == nil && left {
		err = s.finishCascade(ctx)
	}
	if err != nil {
		return outcomes, fmt.Errorf("write resources: %w", explain(s.dir, err))
	}
	return outcomes, nil
}

// writeInGate writes as many of the changes as one transaction takes, at least one. While a cascade
// is not finished, it writes a slice of that instead. It reports whether dependants are left.
func (s *Store) writeInGate(ctx context.Context, changes []store.Change, write writepath.ChunkWriter) (outcomes []store.Outcome, left bool, err error) {
	release, err := s.acquireWriter(ctx)
	if err != nil {
		return nil, false, err
	}
	defer release()
	if err := failpoint.Inject(ctx, "directory.apply.entered"); err != nil {
		return nil, false, err
	}
	if err := s.info.CheckWriter(s.writer.rules); err != nil {
		return nil, false, err
	}
	if open, err := s.writeSlice(ctx); err != nil || open {
		return nil, open, err
	}
	outcomes, left, err = s.writer.writeTransaction(ctx, changes, write)
	if err != nil {
		s.writer.nameIDs = nil // some may have been rolled back
		return nil, false, err
	}
	_ = failpoint.Inject(ctx, "directory.apply.committed") // the transaction is committed: only a crash can stop the answer
	return outcomes, left, nil
}

// writeTransaction writes and commits.
func (w *writer) writeTransaction(ctx context.Context, changes []store.Change, write writepath.ChunkWriter) (outcomes []store.Outcome, left bool, err error) {
	start := time.Now()
	sqlTx, err := w.db.BeginTx(ctx, nil)
	if err != nil {
		return nil, false, err
	}
	defer func() { _ = sqlTx.Rollback() }()
	stored, _, err := metasql.Read(ctx, sqlTx)
	if err != nil {
		return nil, false, err
	}
	if err := w.info.CheckUnchanged(stored); err != nil {
		return nil, false, err
	}
	tx, err := w.newWriteTx(ctx, sqlTx)
	if err != nil {
		return nil, false, err
	}
	outcomes, err = write(start, changes, func(chunk []store.Change) (done []store.Outcome, last bool, err error) {
		done, left, err = tx.writeChunk(ctx, chunk)
		return done, left, err
	})
	if err != nil {
		return nil, false, err
	}
	if err := failpoint.Inject(ctx, "directory.apply.commit"); err != nil {
		return nil, false, err
	}
	return outcomes, left, sqlTx.Commit()
}

// writeTx is a transaction inside the gate that writes resources.
type writeTx struct {
	w         *writer
	tx        *sql.Tx
	committed fhir.Instant     // the commit time of all its versions
	horizon   fhir.Instant     // a live job needs versions committed up to here
	unlinked  []writepath.Text // of deleted index rows of this chunk; other rows may have them
}

// newWriteTx draws the commit time of a transaction.
func (w *writer) newWriteTx(ctx context.Context, tx *sql.Tx) (*writeTx, error) {
	committed, err := drawTime(ctx, tx, w.now)
	if err != nil {
		return nil, err
	}
	live, err := w.liveTimes(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the times of the live jobs: %w", err)
	}
	return &writeTx{w: w, tx: tx, committed: committed, horizon: writepath.Horizon(live)}, nil
}
