package export

import (
	"context"
	"testing"
	"time"

	"muster/internal/failpoint"
	"muster/internal/fhir"
	"muster/internal/store"
)

// TestClockSteps sets the clock of a running server back by two days and then ahead by three. An
// export in progress completes, transaction times increase, a delta has what was written
// meanwhile, and no poll is refused for days (RL-02, MA-01).
func TestClockSteps(t *testing.T) {
	t.Attr("req", "MA-01 RL-02")
	onBothDatabases(t, testClockSteps)
}

func testClockSteps(t *testing.T, onPostgres bool) {
	b := newFixtureOn(t, onPostgres, func(c *Config) { c.PollLimit = PollEnforce })
	b.fill(30)
	start(t, b.Service)
	time1 := b.completeAt(b.kickOff("Practitioner"))

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

	b.clock.Add(72 * time.Hour)
	time4 := b.completeAt(b.kickOff("Practitioner"))
	if !(time1 < time2 && time2 < time3 && time3 < time4) {
		t.Errorf("transaction times %v, %v, %v, %v do not increase", time1, time2, time3, time4)
	}
}

// completeAt waits for a job and returns its transaction time. It does not poll, since the clock
// does not move.
func (b *fixture) completeAt(id string) fhir.Instant {
	b.Helper()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		job, err := b.jobs.Job(b.Context(), id)
		if err != nil {
			b.Fatal(err)
		}
		if !job.State.Live() {
			if job.State != store.Complete {
				b.Fatalf("job %s is %s: %s", id, job.State, job.Reason)
			}
			return job.Time
		}
	}
	b.Fatalf("job %s does not end", id)
	return 0
}
