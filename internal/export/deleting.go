package export

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"muster/internal/blob"
	"muster/internal/failpoint"
)

// deletions are the jobs that clients have deleted, and whose files are still to be removed.
// No client can open these files any more. If the process ends before they are removed, the
// janitor of the next one removes them.
type deletions struct {
	wake chan struct{} // holds a token if there are jobs

	mu   sync.Mutex
	jobs []string
}

func newDeletions() *deletions { return &deletions{wake: make(chan struct{}, 1)} }

// add adds a job. It never blocks.
func (d *deletions) add(jobID string) {
	d.mu.Lock()
	d.jobs = append(d.jobs, jobID)
	d.mu.Unlock()
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// take returns the jobs and forgets them.
func (d *deletions) take() (jobs []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	jobs, d.jobs = d.jobs, nil
	return jobs
}

// removeDeletedFiles removes the files of deleted jobs until ctx ends. All jobs that were
// deleted meanwhile share the next look at the folder.
func (s *Service) removeDeletedFiles(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.deleted.wake:
		}
		if err := s.removeFilesOf(ctx, s.deleted.take()); err != nil && ctx.Err() == nil {
			s.Logger.Error("files of deleted exports were not removed; the janitor will retry", "error", err)
		}
	}
}

// removeFilesOf removes the files of jobs.
func (s *Service) removeFilesOf(ctx context.Context, jobs []string) error {
	if err := s.Owned(ctx); err != nil {
		return err
	}
	return errors.Join(RemoveFiles(ctx, s.Blobs, jobs...), failpoint.Inject(ctx, "export.deleted"))
}

// RemoveFiles removes all blobs of cancelled jobs, including those without a row.
func RemoveFiles(ctx context.Context, blobs blob.Store, jobs ...string) error {
	cancelled := make(map[string]bool, len(jobs))
	for _, id := range jobs {
		cancelled[id] = true
	}
	var names []string
	err := blobs.List(ctx, func(name string, _ time.Time) error {
		if id, _, inFolder := strings.Cut(name, "/"); inFolder && cancelled[id] {
			names = append(names, name)
		}
		return nil
	})
	for _, name := range names {
		err = errors.Join(err, blobs.Remove(ctx, name))
	}
	return err
}
