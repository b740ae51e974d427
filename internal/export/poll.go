package export

import (
	"context"
	"fmt"
	"time"

	"muster/internal/fhir"
	"muster/internal/humanize"
	"muster/internal/store"
)

// PollLimit says what becomes of a poll that comes too early.
type PollLimit string

// The modes.
const (
	PollEnforce PollLimit = "enforce" // it is refused (RL-02)
	PollWarn    PollLimit = "warn"    // it is answered, and the log says so
	PollOff     PollLimit = "off"     // nobody looks at the time
)

// The limits of Retry-After, in whole seconds (D8, pain of clients that wait
// for hours), and what is said to a client with too many jobs.
const (
	shortestWait = 1
	longestWait  = 120
	retryTooMany = 30
)

// Status is the answer to a poll. RetryAfter and Progress are always set
// (PO-02).
type Status struct {
	State      store.State
	RetryAfter int          // whole seconds from 1; for a throttled poll, those left to wait
	Progress   string       // one sentence under 100 characters (PO-04)
	Throttled  bool         // the poll came too early and is refused (RL-02)
	Manifest   []byte       // JSON, of a Complete job
	Total      int64        // resources in the files of a Complete job
	Expires    fhir.Instant // of the manifest and the files (PO-13); zero while live
	Reason     string       // of a Failed job, for people
}

// Poll tells how a job stands. An unknown, foreign, cancelled or expired job is
// [store.ErrNotFound] (PO-08, PO-09). The first poll and polls of finished jobs
// are never limited (RL-01, PO-14), and a refused poll does not restart the wait.
func (s *Service) Poll(ctx context.Context, jobID string) (Status, error) {
	for {
		job, err := s.owned(ctx, jobID)
		if err != nil {
			return Status{}, err
		}
		switch job.State {
		case store.Cancelled, store.Expired:
			return Status{}, store.ErrNotFound
		case store.Complete, store.Failed:
			return s.finished(ctx, job)
		}
		now := s.now()
		status := Status{State: job.State, RetryAfter: s.retryAfter(job, now), Progress: progress(job)}
		if s.PollLimit == PollOff {
			return status, nil
		}
		if wait := tooEarly(job, now); wait > 0 {
			if s.PollLimit == PollEnforce {
				status.RetryAfter, status.Throttled = wait, true
				return status, nil
			}
			s.Logger.Warn("a poll came too early", "job", job.ID, "seconds", wait)
		}
		next := now + momentOf(time.Duration(status.RetryAfter)*time.Second)
		first, err := s.jobs.SetNextPoll(ctx, job.ID, job.NextPoll, next, now)
		if err != nil && ctx.Err() == nil {
			// As on a full disk. The client is told how its job stands all the same.
			s.Logger.Warn("a poll could not be noted", "job", job.ID, "error", err)
			return status, nil
		}
		if err != nil {
			return Status{}, err
		}
		if first {
			return status, nil
		}
		// Another poll of this job was answered meanwhile: this one follows it.
	}
}

// finished answers for a job that has ended.
func (s *Service) finished(ctx context.Context, job store.Job) (Status, error) {
	status := Status{State: job.State, RetryAfter: s.seconds(shortestWait), Progress: progress(job), Expires: job.Expires, Reason: job.Reason}
	if job.State == store.Failed {
		return status, nil
	}
	parts, err := s.jobs.Parts(ctx, job.ID)
	if err != nil {
		return Status{}, err
	}
	status.Total = job.Total
	status.Manifest, err = s.manifest(job, parts)
	return status, err
}

// tooEarly returns the whole seconds that a poll should have waited, or 0 when
// it is in time. Clocks and networks jitter: up to a tenth of the wait, and at
// least a second, is forgiven (RL-01).
func tooEarly(job store.Job, now fhir.Instant) int {
	if job.NextPoll == 0 {
		return 0
	}
	tolerance := max(1000, (job.NextPoll-job.Polled)/10)
	if now >= job.NextPoll-tolerance {
		return 0
	}
	return wholeSeconds(job.NextPoll - now)
}

// retryAfter is the wait to ask for: the configured one, or the time that is
// left at the rate so far (PO-05, D8). Before there is a rate, it is the time
// that went by: a client then waits at most twice as long as it had to.
func (s *Service) retryAfter(job store.Job, now fhir.Instant) int {
	left := now - job.Created
	if job.State == store.Writing && job.Found > 0 {
		left = fhir.Instant(float64(now-job.Started) * float64(job.Total-job.Found) / float64(job.Found))
	}
	return s.seconds(min(max(wholeSeconds(left), shortestWait), longestWait))
}

// seconds returns the configured poll interval, or what was worked out.
func (s *Service) seconds(adaptive int) int {
	if s.PollInterval > 0 {
		return wholeSeconds(momentOf(s.PollInterval))
	}
	return adaptive
}

// wholeSeconds rounds a span up.
func wholeSeconds(span fhir.Instant) int { return int((span + 999) / 1000) }

// momentOf is a duration in the unit of moments.
func momentOf(d time.Duration) fhir.Instant { return fhir.Instant(d.Milliseconds()) }

// progress is the sentence of X-Progress (PO-04, D8).
func progress(job store.Job) string {
	switch job.State {
	case store.Complete:
		return fmt.Sprintf("Export complete - %s resources", humanize.Int(job.Total))
	case store.Failed:
		return "Export failed"
	case store.Writing:
		return fmt.Sprintf("Search in progress - found %s of %s resources", humanize.Int(job.Found), humanize.Int(job.Total))
	}
	return fmt.Sprintf("Search in progress - found %s resources so far", humanize.Int(job.Found))
}
