package postgres

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"muster/internal/fhir"
)

// drawTime advances table clock and returns its time: the time of the database server, or
// one millisecond after the previous time of the table if that is later. So the times
// strictly increase, also when the server's clock is set back or another machine becomes the
// server. It also returns the previous time. The first time after a restore is recorded.
func (s *Store) drawTime(ctx context.Context, gate *gateTx) (at, before fhir.Instant, err error) {
	var now *int64
	if s.clock != nil {
		ms := int64(fhir.InstantOf(s.clock()))
		now = &ms
	}
	err = gate.tx.QueryRowContext(ctx, `WITH before AS (SELECT last FROM clock), drawn AS (
			UPDATE clock SET last = greatest(before.last + 1, coalesce($1::bigint, `+databaseTime+`))
			FROM before RETURNING clock.last, before.last AS before
		), used AS (UPDATE restored SET used = drawn.last FROM drawn WHERE restored.used IS NULL)
		SELECT last, before FROM drawn`, now).Scan(&at, &before)
	if err != nil {
		return 0, 0, fmt.Errorf("draw a commit time: %w", err)
	}
	return at, before, nil
}

// databaseTime is the time of the database server in ms. It is the time of the statement,
// not of the start of the transaction.
const databaseTime = `(extract(epoch FROM clock_timestamp()) * 1000)::bigint`

// measureInterval is how often the offset to the database's clock is measured. Two clocks
// drift apart by a few milliseconds in that time.
const measureInterval = 30 * time.Second

// databaseClock is an estimate of the database's clock, from the last measurement.
type databaseClock struct{ at atomic.Pointer[measurement] }

// measurement is a time of the database's clock and the local time at that instant. local has
// a monotonic clock reading, so later changes of the machine's clock have no effect.
type measurement struct{ database, local time.Time }

func (c *databaseClock) now() time.Time {
	r := c.at.Load()
	return r.database.Add(time.Since(r.local))
}

// measure reads the database's clock. It assumes that the clock was read after half of the
// round trip.
func (s *Store) measure(ctx context.Context) error {
	start := time.Now()
	var ms int64
	if err := s.reads.QueryRow(ctx, `SELECT `+databaseTime).Scan(&ms); err != nil {
		return fmt.Errorf("read the time of the database: %w", err)
	}
	s.dbClock.at.Store(&measurement{time.UnixMilli(ms), start.Add(time.Since(start) / 2)})
	return nil
}

// measureRegularly measures the clock at intervals until ctx ends. While the database does
// not answer, the last measurement remains in use.
func (s *Store) measureRegularly(ctx context.Context) {
	tick := time.NewTicker(measureInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			_ = s.measure(ctx)
		}
	}
}

// Now returns the time of the database's clock, which is the same for all nodes. It is used
// for leases and other times that nodes compare. It runs no statement.
func (s *Store) Now() time.Time {
	if s.clock != nil {
		return s.clock()
	}
	return s.dbClock.now()
}

// LastTime returns the last time that table clock has issued.
func (s *Store) LastTime(ctx context.Context) (last fhir.Instant, err error) {
	if err := s.reads.QueryRow(ctx, `SELECT last FROM clock`).Scan(&last); err != nil {
		return 0, fmt.Errorf("read the clock of the directory: %w", explain(err))
	}
	return last, nil
}
