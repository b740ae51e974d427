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
	outcomes, err := writepath.Apply(ctx, changes, s.applyBatch)
	if err != nil {
		return outcomes, fmt.Errorf("write resources: %w", explain(err))
	}
	return outcomes, nil
}

// applyBatch writes as many of the changes as one stay inside the gate allows,
// and at least one.
func (s *Store) applyBatch(ctx context.Context, changes []store.Change) ([]store.Outcome, error) {
	in, err := s.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer in.leave()
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := failpoint.Inject(ctx, "directory.apply.entered"); err != nil {
		return nil, err
	}
	done, err := s.apply(ctx, in, changes)
	if err != nil {
		s.names = nil // some may have been rolled back
		return nil, err
	}
	_ = failpoint.Inject(ctx, "directory.apply.committed") // what is committed is told; only a death can hide it
	return done, nil
}

// apply writes and commits.
func (s *Store) apply(ctx context.Context, in *inside, changes []store.Change) ([]store.Outcome, error) {
	start := time.Now()
	b, err := s.stamp(ctx, in)
	if err != nil {
		return nil, err
	}
	var outcomes []store.Outcome
	err = in.raw(func(conn *pgx.Conn) error {
		b.conn = conn
		noted, err := readMetaRow(ctx, conn, "definitions")
		if err != nil {
			return err
		}
		if err := s.info.CheckUnchanged(noted); err != nil {
			return err
		}
		outcomes, err = s.pace.Run(start, changes, func(chunk []store.Change) ([]store.Outcome, error) { return b.apply(ctx, chunk) })
		return err
	})
	if err != nil {
		return nil, err
	}
	if err := failpoint.Inject(ctx, "directory.apply.commit"); err != nil {
		return nil, err
	}
	return outcomes, in.tx.Commit()
}

// stamp draws the commit time of a transaction.
func (s *Store) stamp(ctx context.Context, in *inside) (*stay, error) {
	now, _, err := s.draw(ctx, in)
	if err != nil {
		return nil, err
	}
	live, err := s.LiveTimes(ctx)
	if err != nil {
		return nil, err
	}
	return &stay{s: s, now: now, horizon: writepath.Horizon(live)}, nil
}

// stay is the work of one stay inside the gate.
type stay struct {
	s       *Store
	conn    *pgx.Conn
	now     fhir.Instant     // commit time of everything in the batch
	horizon fhir.Instant     // versions committed up to here are still needed by a live job
	left    []writepath.Text // by rows of this chunk; some have other rows
}

// apply writes a chunk of changes, each to another resource. Each step is one
// message to the database and one back, however many changes there are.
func (b *stay) apply(ctx context.Context, changes []store.Change) ([]store.Outcome, error) {
	items := writepath.Items(changes)
	if err := b.findCurrent(ctx, items); err != nil {
		return nil, err
	}
	if err := b.revise(ctx, items); err != nil {
		return nil, err
	}
	writepath.Decide(items)
	for _, step := range []func(context.Context, []writepath.Item) error{b.endVersions, b.allotKeys, b.write} {
		if err := step(ctx, items); err != nil {
			return nil, err
		}
	}
	return writepath.Outcomes(items), nil
}

// each runs a statement and scans every row of it.
func (b *stay) each(ctx context.Context, query string, fields []any, row func(), args ...any) error {
	rows, err := b.conn.Query(ctx, query, args...)
	if err != nil {
		return err
	}
	_, err = pgx.ForEachRow(rows, fields, func() error { row(); return nil })
	return err
}

// send runs the statements of a pgx batch, if there are any.
func (b *stay) send(ctx context.Context, queue *pgx.Batch) error {
	if queue.Len() == 0 {
		return nil
	}
	return b.conn.SendBatch(ctx, queue).Close()
}
