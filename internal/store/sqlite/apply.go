package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"muster/internal/failpoint"
	"muster/internal/fhir"
	"muster/internal/store"
	"muster/internal/store/writepath"
)

// writer is the one connection that writes, with its prepared statements. It is
// used inside the gate and under Store.mu only.
type writer struct {
	db        *sql.DB
	now       func() time.Time
	liveTimes func(context.Context) ([]fhir.Instant, error)
	text      statements
	names     map[string]int64 // rows of table name that are known to be committed
	info      *CreateInfo      // of the store
	pace      writepath.Pace
	grams     []gram // a list to use again: it is the longest of a chunk
}

// Apply implements store.Directory.
func (s *Store) Apply(ctx context.Context, changes []store.Change) ([]store.Outcome, error) {
	outcomes, err := writepath.Apply(ctx, changes, s.applyBatch)
	if err != nil {
		return outcomes, fmt.Errorf("write resources: %w", explain(s.dir, err))
	}
	return outcomes, nil
}

// applyBatch writes as many of the changes as one stay inside the gate allows,
// and at least one.
func (s *Store) applyBatch(ctx context.Context, changes []store.Change) ([]store.Outcome, error) {
	leave, err := s.gate.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := failpoint.Inject(ctx, "directory.apply.entered"); err != nil {
		return nil, err
	}
	done, err := s.writer.apply(ctx, changes)
	if err != nil {
		s.writer.names = nil // some may have been rolled back
		return nil, err
	}
	return done, nil
}

// apply is one transaction.
func (w *writer) apply(ctx context.Context, changes []store.Change) ([]store.Outcome, error) {
	start := time.Now()
	tx, err := w.db.BeginTx(ctx, nil)
	if err != nil {
		return nil, err
	}
	defer func() { _ = tx.Rollback() }()
	b, err := w.enter(ctx, tx)
	if err != nil {
		return nil, err
	}
	outcomes, err := w.pace.Run(start, changes, func(chunk []store.Change) ([]store.Outcome, error) { return b.apply(ctx, chunk) })
	if err != nil {
		return nil, err
	}
	if err := failpoint.Inject(ctx, "directory.apply.commit"); err != nil {
		return nil, err
	}
	if err := tx.Commit(); err != nil {
		return nil, err
	}
	_ = failpoint.Inject(ctx, "directory.apply.committed") // what is committed is told; only a death can hide it
	return outcomes, nil
}

// stay is the work of one stay inside the gate.
type stay struct {
	w       *writer
	tx      *sql.Tx
	now     fhir.Instant     // commit time of everything in the batch
	horizon fhir.Instant     // versions committed up to here are still needed by a live job
	left    []writepath.Text // by rows of this chunk; some have other rows
}

func (w *writer) enter(ctx context.Context, tx *sql.Tx) (*stay, error) {
	noted, err := fact(ctx, tx, "definitions")
	if err != nil {
		return nil, err
	}
	if err := w.info.Same(noted); err != nil {
		return nil, err
	}
	return w.stamp(ctx, tx)
}

// stamp draws the commit time of a transaction.
func (w *writer) stamp(ctx context.Context, tx *sql.Tx) (*stay, error) {
	now, err := draw(ctx, tx, w.now)
	if err != nil {
		return nil, err
	}
	live, err := w.liveTimes(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the times of the live jobs: %w", err)
	}
	return &stay{w: w, tx: tx, now: now, horizon: writepath.Horizon(live)}, nil
}
