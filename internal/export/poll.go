package export

import (
	"context"
	"fmt"
	"time"

	"muster/internal/fhir"
	"muster/internal/humanize"
	"muster/internal/store"
)

// PollLimit is the treatment of a poll that comes too early.
type PollLimit string

// The values of PollLimit.
const (
	PollEnforce PollLimit = "enforce" // reject it (RL-02)
	PollWarn    PollLimit = "warn"    // answer it and log a warning
	PollOff     PollLimit = "off"     // answer it
)

// The limits of Retry-After (D8), so that no client waits for hours, and its value for a client
// with too many jobs, in seconds.
const (
	minWait         = 1
	maxWait         = 120
	tooManyJobsWait = 30
)

// Status is the result of a poll. RetryAfter and Progress are always set (PO-02).
type Status struct {
	State      store.State
	RetryAfter int          // seconds, at least 1; of a throttled poll, the remaining wait
	Progress   string       // one sentence of less than 100 characters (PO-04)
	Throttled  bool         // the poll came too early and is rejected (RL-02)
	Manifest   []byte       // JSON; Complete jobs only
	Total      int64        // resources in the files; Complete jobs only
	Expires    fhir.Instant // of manifest and files (PO-13); zero for a live job
	Reason     string       // why the job failed, for the client; Failed jobs only
}

// Poll returns the status of a live, complete or failed job. A job that is unknown,
// belongs to another client, was cancelled or has expired is [store.ErrNotFound] (PO-08,
// PO-09). The first poll and polls of ended jobs are never limited (RL-01, PO-14). A
// rejected poll does not restart the wait.
func (s *Service) Poll(ctx context.Context, jobID string) (Status, error) {
	for {
		job, err := s.ownedJob(ctx, jobID)
		if err != nil {
			return Status{}, err
		}
		switch job.State {
		case store.Cancelled, store.Expired:
			return Status{}, store.ErrNotFound
		case store.Complete, store.Failed:
			return s.endedStatus(ctx, job)
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
			s.Logger.Warn("poll too early", "job", job.ID, "seconds", wait)
		}
		next := now + milliseconds(time.Duration(status.RetryAfter)*time.Second)
		first, err := s.jobs.SetNextPoll(ctx, job.ID, job.NextPoll, next, now)
		if err != nil && ctx.Err() == nil {
			// For example on a full disk. The client receives the status nevertheless.
			s.Logger.Warn("time of a poll not stored", "job", job.ID, "error", err)
			return status, nil
		}
		if err != nil {
			return Status{}, err
		}
		if first {
			return status, nil
		}
		// A concurrent poll of this job was answered: repeat with its time.
	}
}

// endedStatus returns the status of a job that has completed or failed.
func (s *Service) endedStatus(ctx context.Context, job store.Job) (Status, error) {
	status := Status{State: job.State, RetryAfter: s.seconds(minWait), Progress: progress(job), Expires: job.Expires, Reason: job.Reason}
	if job.State == store.Failed {
		return status, nil
	}
	if err := s.checkSuppressed(ctx, job); err != nil {
		return Status{}, err
	}
	parts, err := s.jobs.Parts(ctx, job.ID)
	if err != nil {
		return Status{}, err
	}
	status.Total = job.Total
	status.Manifest, err = s.manifest(job, parts)
	return status, err
}

// tooEarly returns the seconds that remain of the wait, or 0 if the poll is in time. Up
// to a tenth of the wait, and at least a second, is tolerated for jitter of clocks and
// networks (RL-01). A poll before the last one in time is never early: the clock was set back.
func tooEarly(job store.Job, now fhir.Instant) int {
	if job.NextPoll == 0 || now < job.Polled {
		return 0
	}
	tolerance := max(1000, (job.NextPoll-job.Polled)/10)
	if now >= job.NextPoll-tolerance {
		return 0
	}
	return wholeSeconds(job.NextPoll - now)
}

// retryAfter returns the wait until the next poll: the configured one, or the time that
// remains at the rate so far (PO-05, D8). Before a rate is known it is half of the elapsed time, so
// that a client waits at most half as long again as necessary.
func (s *Service) retryAfter(job store.Job, now fhir.Instant) int {
	left := (now - job.Created) / 2
	if job.State == store.Writing && job.Found > 0 {
		left = fhir.Instant(float64(now-job.Started) * float64(job.Total-job.Found) / float64(job.Found))
	}
	return s.seconds(min(max(wholeSeconds(left), minWait), maxWait))
}

// seconds returns the configured poll interval, or adaptive if there is none.
func (s *Service) seconds(adaptive int) int {
	if s.PollInterval > 0 {
		return wholeSeconds(milliseconds(s.PollInterval))
	}
	return adaptive
}

// wholeSeconds converts milliseconds to seconds, rounded up.
func wholeSeconds(span fhir.Instant) int { return int((span + 999) / 1000) }

// milliseconds converts a duration to the unit of instants.
func milliseconds(d time.Duration) fhir.Instant { return fhir.Instant(d.Milliseconds()) }

// progress returns the text of X-Progress (PO-04, D8).
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
