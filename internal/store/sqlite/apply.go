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
	outcomes, err := writepath.WriteChanges(ctx, changes, s.writeInGate)
	if err != nil {
		return outcomes, fmt.Errorf("write resources: %w", explain(s.dir, err))
	}
	return outcomes, nil
}

// writeInGate writes as many of the changes as one transaction takes, at least one.
func (s *Store) writeInGate(ctx context.Context, changes []store.Change) ([]store.Outcome, error) {
	release, err := s.acquireWriter(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	if err := failpoint.Inject(ctx, "directory.apply.entered"); err != nil {
		return nil, err
	}
	outcomes, err := s.writer.writeTransaction(ctx, changes)
	if err != nil {
		s.writer.nameIDs = nil // some may have been rolled back
		return nil, err
	}
	_ = failpoint.Inject(ctx, "directory.apply.committed") // the transaction is committed: only a crash can stop the answer
	return outcomes, nil
}

// writeTransaction writes and commits.
func (w *writer) writeTransaction(ctx context.Context, changes []store.Change) ([]store.Outcome, error) {
	start := time.Now()
	sqlTx, err := w.db.BeginTx(ctx, nil)
	if err != nil {
		return nil, err
	}
	defer func() { _ = sqlTx.Rollback() }()
	stored, _, err := metasql.Read(ctx, sqlTx)
	if err != nil {
		return nil, err
	}
	if err := w.info.CheckUnchanged(stored); err != nil {
		return nil, err
	}
	tx, err := w.newWriteTx(ctx, sqlTx)
	if err != nil {
		return nil, err
	}
	outcomes, err := w.chunks.WriteChunks(start, changes, func(chunk []store.Change) ([]store.Outcome, error) { return tx.writeChunk(ctx, chunk) })
	if err != nil {
		return nil, err
	}
	if err := failpoint.Inject(ctx, "directory.apply.commit"); err != nil {
		return nil, err
	}
	return outcomes, sqlTx.Commit()
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
