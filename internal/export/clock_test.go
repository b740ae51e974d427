package export

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"muster/internal/failpoint"
	"muster/internal/fhir"
	"muster/internal/store"
)

// TestClockSteps sets the clock of a running server back by two days and then ahead by three. An
// export in progress completes, transaction times increase, a delta has what was written
// meanwhile, and no poll is refused for days (RL-02, MA-01). An export from before the step is
// kept as long as any other, not longer.
func TestClockSteps(t *testing.T) {
	t.Attr("req", "MA-01 RL-02")
	onBothDatabases(t, testClockSteps)
}

func testClockSteps(t *testing.T, onPostgres bool) {
	b := newFixtureOn(t, onPostgres, func(c *Config) {
		c.PollLimit = PollEnforce
		c.SweepEvery = 10 * time.Millisecond
	})
	b.fill(30)
	start(t, b.Service)
	first := b.kickOff("Practitioner")
	time1 := b.completeAt(first)

	reached, goOn := make(chan struct{}, 1), make(chan struct{})
	disarm := failpoint.Arm("export.selected", func(context.Context) error {
		reached <- struct{}{}
		<-goOn
		return nil
	})
	id := b.kickOff("Practitioner")
	<-reached
	b.clock.Add(time.Minute) // Retry-After is as long
	if status, err := b.Poll(t.Context(), id); err != nil || status.Throttled {
		t.Errorf("the first poll: %+v, %v", status, err)
	}
	if status, err := b.Poll(t.Context(), id); err != nil || !status.Throttled {
		t.Errorf("a poll at once: %+v, %v; want it throttled", status, err)
	}
	b.clock.Add(-48 * time.Hour)
	if status, err := b.Poll(t.Context(), id); err != nil || status.Throttled || status.RetryAfter > maxWait {
		t.Errorf("a poll after the clock was set back: %+v, %v", status, err)
	}
	disarm()
	close(goOn)
	time2 := b.completeAt(id)
	b.apply(resource(fhir.Practitioner, "p1", "second"))
	delta, err := b.KickOff(t.Context(), b.request(&time2, "Practitioner"))
	if err != nil {
		t.Fatal(err)
	}
	time3 := b.completeAt(delta)
	if got := b.download(delta); len(got) != 1 {
		t.Errorf("the delta has %d resources, want 1", len(got))
	}

	expires := b.correctedExpiry(first)
	b.clock.Set(expires.Time().Add(-time.Millisecond))
	if status, err := b.Poll(t.Context(), first); err != nil || status.Expires != expires {
		t.Errorf("before it expires: %+v, %v", status, err)
	}
	b.clock.Add(time.Millisecond)
	if _, err := b.Poll(t.Context(), first); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("an export that has expired: %v", err)
	}

	b.clock.Add(72 * time.Hour)
	time4 := b.completeAt(b.kickOff("Practitioner"))
	if !(time1 < time2 && time2 < time3 && time3 < time4) {
		t.Errorf("transaction times %v, %v, %v, %v do not increase", time1, time2, time3, time4)
	}
}

// correctedExpiry waits until the expiry of an export has been corrected after the clock was set
// back, and returns it. It is a whole retention after now.
func (b *fixture) correctedExpiry(id string) (expires fhir.Instant) {
	b.Helper()
	now := b.Service.now()
	b.eventually("the expiry is corrected", func() bool {
		job, err := b.jobs.Job(b.Context(), id)
		if err != nil {
			b.Fatal(err)
		}
		expires = job.Expires
		return expires == now+milliseconds(DefaultRetention)
	})
	return expires
}

// TestStepBackInBackoff sets the clock back by an hour while an export waits for its next attempt.
// It waits no longer than a worker lets a task wait.
func TestStepBackInBackoff(t *testing.T) { onBothDatabases(t, testStepBackInBackoff) }

func testStepBackInBackoff(t *testing.T, onPostgres bool) {
	b := newFixtureOn(t, onPostgres, func(c *Config) {
		c.SweepEvery = 10 * time.Millisecond
		c.engine.Backoff = time.Second
	})
	b.fill(1)
	start(t, b.Service)
	var repaired atomic.Bool
	t.Cleanup(failpoint.Arm("export.selected", func(context.Context) error {
		if repaired.Load() {
			return nil
		}
		return errors.New("a failure of a disk")
	}))
	id := b.kickOff("Practitioner")
	waitsFor := func(wait time.Duration) func() bool {
		return func() bool {
			job, err := b.jobs.Job(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			return job.Lease.Time().Sub(b.clock.Now()) == wait
		}
	}
	b.eventually("the first attempt has failed", waitsFor(b.engine.Backoff))
	repaired.Store(true)
	b.clock.Add(-time.Hour)
	longest := b.engine.LongestWait()
	b.eventually("the wait is corrected", waitsFor(longest))
	b.clock.Add(longest)
	b.completeAt(id)
}

// eventually waits until a condition holds.
func (b *fixture) eventually(what string, holds func() bool) {
	b.Helper()
	for deadline := time.Now().Add(30 * time.Second); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			b.Fatalf("not in 30 s: %s", what)
		}
	}
}

// completeAt waits for a job and returns its transaction time. It does not poll, since the clock
// does not move.
func (b *fixture) completeAt(id string) (at fhir.Instant) {
	b.Helper()
	b.eventually("job "+id+" ends", func() bool {
		job, err := b.jobs.Job(b.Context(), id)
		if err != nil {
			b.Fatal(err)
		}
		if job.State.Live() {
			return false
		}
		if job.State != store.Complete {
			b.Fatalf("job %s is %s: %s", id, job.State, job.Reason)
		}
		at = job.Time
		return true
	})
	return at
}
