package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"muster/internal/fault"
	"muster/internal/fhir"
	"muster/internal/store"
)

const (
	// gateWork is how long a batch may work inside the gate before it commits. The
	// commit itself, with a checkpoint at times, and the last chunk come on top, and
	// all together stay under 250 ms.
	gateWork = 140 * time.Millisecond
	// chunkWork is what one chunk of changes should take. The number of changes in
	// a chunk follows from it: many on a fast disk, few on a slow one.
	chunkWork              = 50 * time.Millisecond
	firstChunk             = 64
	smallChunk, largeChunk = 8, 2048
)

// writer is the one connection that writes, with its prepared statements. It is
// used inside the gate and under Store.mu only.
type writer struct {
	db        *sql.DB
	now       func() time.Time
	liveTimes func(context.Context) ([]fhir.Moment, error)
	text      statements
	names     map[string]int64 // rows of table name that are known to be committed
	chunk     int              // changes in the next chunk
}

// Apply implements store.Directory.
func (s *Store) Apply(ctx context.Context, changes []store.Change) ([]store.Outcome, error) {
	outcomes := make([]store.Outcome, 0, len(changes))
	for len(outcomes) < len(changes) {
		done, err := s.applyBatch(ctx, changes[len(outcomes):])
		outcomes = append(outcomes, done...)
		if cause := context.Cause(ctx); err != nil && cause != nil {
			err = cause // rather than "interrupted"
		}
		if err != nil {
			return outcomes, fmt.Errorf("write resources: %w", explain(s.dir, err))
		}
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
	if err := fault.Point(ctx, "directory.apply.entered"); err != nil {
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
	b, err := w.newBatch(ctx, tx)
	if err != nil {
		return nil, err
	}
	var outcomes []store.Outcome
	for len(outcomes) < len(changes) && time.Since(start) < gateWork {
		chunk := b.take(changes[len(outcomes):], w.chunkSize())
		if len(chunk) == 0 {
			break // the next change is to a resource that this batch has changed
		}
		began := time.Now()
		done, err := b.apply(ctx, chunk)
		if err != nil {
			return nil, err
		}
		outcomes = append(outcomes, done...)
		w.adapt(len(chunk), time.Since(began))
	}
	if err := fault.Point(ctx, "directory.apply.commit"); err != nil {
		return nil, err
	}
	if err := tx.Commit(); err != nil {
		return nil, err
	}
	_ = fault.Point(ctx, "directory.apply.committed") // what is committed is told; only a death can hide it
	return outcomes, nil
}

func (w *writer) chunkSize() int {
	if w.chunk == 0 {
		w.chunk = firstChunk
	}
	return w.chunk
}

// adapt doubles or halves the size of the chunks when one took far less or more
// than it should.
func (w *writer) adapt(size int, took time.Duration) {
	switch {
	case took > 2*chunkWork:
		w.chunk = max(smallChunk, w.chunk/2)
	case took < chunkWork/2 && size == w.chunk:
		w.chunk = min(largeChunk, w.chunk*2)
	}
}

// batch is the work of one stay inside the gate.
type batch struct {
	w       *writer
	tx      *sql.Tx
	now     fhir.Moment // commit time of everything in the batch
	horizon fhir.Moment // versions committed up to here are still needed by a live job
	seen    map[resourceID]bool
}

type resourceID struct {
	t  fhir.Type
	id string
}

func (w *writer) newBatch(ctx context.Context, tx *sql.Tx) (*batch, error) {
	now, err := draw(ctx, tx, w.now)
	if err != nil {
		return nil, err
	}
	live, err := w.liveTimes(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the times of the live jobs: %w", err)
	}
	// Every T was drawn before now, so a version that ends now is needed by exactly
	// the jobs whose T is not before its commit time: by any, if by the latest.
	b := &batch{w: w, tx: tx, now: now, seen: map[resourceID]bool{}}
	for _, t := range live {
		b.horizon = max(b.horizon, t)
	}
	return b, nil
}

// take returns the next changes, up to limit and up to the second change of one
// resource: two versions of one resource never have one commit time.
func (b *batch) take(changes []store.Change, limit int) []store.Change {
	for i := range changes {
		r := resourceID{changes[i].Type, changes[i].ID}
		if i == limit || b.seen[r] {
			return changes[:i]
		}
		b.seen[r] = true
	}
	return changes
}
