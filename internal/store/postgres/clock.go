package postgres

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"muster/internal/fhir"
)

// draw gives out the next moment: the time of the database, or one millisecond
// after the last moment given out if that is later. So moments only grow, also when
// the clock steps back or another machine becomes the server, and no two are equal.
// It returns the moment given out before, too. The caller is inside the gate.
func (s *Store) draw(ctx context.Context, in *inside) (at, before fhir.Instant, err error) {
	var now *int64
	if s.clock != nil {
		ms := int64(fhir.InstantOf(s.clock()))
		now = &ms
	}
	err = in.tx.QueryRowContext(ctx, `WITH before AS (SELECT last FROM clock)
		UPDATE clock SET last = greatest(before.last + 1, coalesce($1::bigint, `+databaseTime+`))
		FROM before RETURNING clock.last, before.last`, now).Scan(&at, &before)
	if err != nil {
		return 0, 0, fmt.Errorf("draw a commit time: %w", err)
	}
	return at, before, nil
}

// databaseTime is the time of the database's machine in ms, at the moment and not at
// the start of the transaction.
const databaseTime = `(extract(epoch FROM clock_timestamp()) * 1000)::bigint`

// remeasure is how often the offset to the database's clock is measured anew: two
// clocks drift apart by a few milliseconds in the meantime.
const remeasure = 30 * time.Second

// databaseClock tells the database's time without asking it each time.
type databaseClock struct{ at atomic.Pointer[reading] }

// reading is what the database's clock said, and when. local has the monotonic
// clock, so later steps of the machine's clock do not matter.
type reading struct{ database, local time.Time }

func (c *databaseClock) now() time.Time {
	r := c.at.Load()
	return r.database.Add(time.Since(r.local))
}

// measure reads the database's clock. Half of the time of the answer counts.
func (s *Store) measure(ctx context.Context) error {
	start := time.Now()
	var ms int64
	if err := s.readers.QueryRow(ctx, `SELECT `+databaseTime).Scan(&ms); err != nil {
		return fmt.Errorf("read the time of the database: %w", err)
	}
	s.dbClock.at.Store(&reading{time.UnixMilli(ms), start.Add(time.Since(start) / 2)})
	return nil
}

// follow measures again and again until ctx ends. While the database does not
// answer, the last offset counts.
func (s *Store) follow(ctx context.Context) {
	tick := time.NewTicker(remeasure)
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

// Now is the time by the database's clock, on which all nodes agree: for leases,
// and whatever else nodes compare. It never fails, and does not ask the database.
func (s *Store) Now() time.Time {
	if s.clock != nil {
		return s.clock()
	}
	return s.dbClock.now()
}
