package storetest

import (
	"testing"
	"time"

	"muster/internal/client"
	"muster/internal/fhir"
	"muster/internal/store"

	"github.com/google/go-cmp/cmp"
)

// ahead is the longest wait of a worker in ms.
const ahead = 8 * lease

// correct corrects the times of jobs and checks the number of rows.
func (b jobsTest) correct(now fhir.Instant, want int) {
	b.Helper()
	got, err := b.CorrectTimes(b.Context(), now, ahead)
	b.must(err)
	if got != want {
		b.Errorf("%d rows were corrected, want %d", got, want)
	}
}

// testCorrectTimes sets the clock back by two days, with jobs in every state. No task waits, and
// nothing is kept, until the clock has caught up; and nothing expires early.
func testCorrectTimes(t *testing.T, b jobsTest) {
	b.write("complete", 0, 1)
	b.finish(b.mustClaim("w", noon))
	b.create("failed", 0)
	b.must(b.Fail(t.Context(), "failed", "reason", noon, expires))
	b.create("cancelled", 0)
	b.must(b.Cancel(t.Context(), "cancelled", "anna", noon, noon))
	b.expire(noon, 0, 1)
	b.write("parts", 0, 1, 1) // one is claimed, one waits for its next attempt
	b.mustClaim("dead", noon)
	b.must(b.Release(t.Context(), b.mustClaim("w", noon), noon+lease, true))
	b.create("selecting", 0)
	b.must(b.BeginSelecting(t.Context(), b.mustClaim("dead", noon), noon, noon))
	b.create("retried", 0)
	b.must(b.Release(t.Context(), b.mustClaim("w", noon), noon+lease, true))

	b.correct(noon, 0)
	before := b.state("selecting", store.Selecting)
	b.correct(noon-lease, 0) // a small step
	if diff := cmp.Diff(before, b.state("selecting", store.Selecting)); diff != "" {
		t.Errorf("a small step changes a job (-before +after):\n%s", diff)
	}

	now := noon - fhir.Instant((48 * time.Hour).Milliseconds())
	b.correct(now, 8) // six jobs and two parts
	b.correct(now, 0)
	if task := b.claim("w", now+ahead-1); task != nil {
		t.Errorf("%s was claimed at once", task.Job.ID)
	}
	claimed := map[string]int{}
	for range 4 {
		claimed[b.mustClaim("w", now+ahead).Job.ID]++
	}
	if claimed["parts"] != 2 || claimed["selecting"] != 1 || claimed["retried"] != 1 {
		t.Errorf("claimed %v", claimed)
	}
	stalled, err := b.Stalled(t.Context(), now+ahead+lease, lease-1)
	b.must(err)
	if len(stalled) != 3 {
		t.Errorf("%d jobs are stalled, want those with a claim", len(stalled))
	}

	kept := now + expires - noon
	b.expire(kept-1, 0, 0)
	if job := b.state("complete", store.Complete); job.Finished != now || job.Expires != kept {
		t.Errorf("it finished at %v and expires at %v, want %v and %v", job.Finished, job.Expires, now, kept)
	}
	b.expire(kept, 0, 2)
	b.expire(kept, now+1, 0)
	_, err = b.Job(t.Context(), "cancelled")
	b.wantErr("a job that had expired before the step", err, store.ErrNotFound)
	b.state("failed", store.Expired)
}

// testUseAhead checks that work for a client does not count for longer after the clock was set
// back, and that work after it counts.
func testUseAhead(t *testing.T, b jobsTest) {
	busy, quiet := client.Client{Name: "busy"}, client.Client{Name: "quiet"}
	b.of(busy, "first", 0)
	first := b.wantNext("the only job", "first", noon)
	b.must(b.Renew(t.Context(), first, noon+1000, longLease, 0))
	now := noon - 60*minute
	b.must(b.Renew(t.Context(), first, now, longLease, 0))
	b.expire(now, 0, 0)
	b.of(quiet, "second", 0)
	second := b.wantNext("the other job", "second", now)
	b.must(b.EndSlice(t.Context(), second, 100, now+100))
	b.must(b.EndSlice(t.Context(), first, 200, now+200))
	second = b.wantNext("100 ms after the step are less than 200", "second", now+300)
	b.must(b.EndSlice(t.Context(), second, 300, now+600))
	b.wantNext("200 ms after the step are less than 400, and nothing before it counts", "first", now+600)
}
