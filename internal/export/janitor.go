package export

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"muster/internal/failpoint"
	"muster/internal/store"
)

// clearUp runs the janitor at once and then at every Config.SweepEvery.
func (s *Service) clearUp(ctx context.Context) error {
	tick := time.NewTicker(s.SweepEvery)
	defer tick.Stop()
	for {
		if err := s.sweep(ctx); err != nil && ctx.Err() == nil {
			s.Logger.Error("the janitor could not finish; it comes again", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// sweep is one round of the janitor: jobs whose retention is over expire, blobs
// that nothing names go, and old versions that no job needs are dropped.
func (s *Service) sweep(ctx context.Context) error {
	now := s.now()
	expired, err := s.jobs.Expire(ctx, now, now-momentOf(s.Forget))
	if expired > 0 {
		s.Logger.Info("exports expired", "count", expired)
		s.Observer.Removed(RemovedExport, expired)
	}
	if err := failpoint.Inject(ctx, "export.sweep.expired"); err != nil {
		return err
	}
	_, vacuumed := s.Store.Vacuum(ctx)
	return errors.Join(err, s.removeOrphans(ctx), vacuumed)
}

// found is a blob as the janitor found it.
type found struct {
	name     string
	modified time.Time
}

// removeOrphans removes the blobs that no part row names and whose job is not live; those
// of a job that is in no row when they are old enough, and have the name of an export's: an
// operator's files stay. The blobs are listed before the rows are read: a blob that a worker is
// about to name is then either kept by its live job or named by its row.
func (s *Service) removeOrphans(ctx context.Context) error {
	var blobs []found
	err := s.Blobs.List(ctx, func(name string, modified time.Time) error {
		blobs = append(blobs, found{name, modified})
		return nil
	})
	if err != nil {
		return err
	}
	if err := failpoint.Inject(ctx, "export.sweep.listed"); err != nil {
		return err
	}
	objects, jobs, err := s.jobs.Objects(ctx)
	if err != nil {
		return err
	}
	var orphans []string
	for _, b := range blobs {
		id, ours := store.JobOf(b.name)
		live, known := jobs[id]
		if !objects[b.name] && !live && (known || ours && s.old(b)) {
			orphans = append(orphans, b.name)
		}
	}
	if len(orphans) == 0 {
		return nil
	}
	// Somebody may have given the folder to another directory since this server started,
	// even to a copy of this one, whose jobs have the same ids.
	if err := s.Owned(ctx); err != nil {
		return fmt.Errorf("%d files that no export names stay: %w", len(orphans), err)
	}
	return s.remove(ctx, orphans)
}

// old tells whether a blob may go whose job is in no row. Its time is that of the disk, so it
// is held against the clock of this machine and not against that of the directory; a time that
// is yet to come is no age.
func (s *Service) old(b found) bool { return time.Since(b.modified) >= s.StrangerAge }

// remove removes blobs that nothing names.
func (s *Service) remove(ctx context.Context, names []string) error {
	for _, name := range names {
		if err := failpoint.Inject(ctx, "export.sweep.remove"); err != nil {
			return err
		}
		if err := s.Blobs.Remove(ctx, name); err != nil {
			return err
		}
		s.Observer.Removed(RemovedFile, 1)
		s.Logger.Info("a file without an owner was removed", "name", name)
	}
	return nil
}

// removeFiles removes all blobs of a job, those without a row too.
func (s *Service) removeFiles(ctx context.Context, jobID string) error {
	var names []string
	err := s.Blobs.List(ctx, func(name string, _ time.Time) error {
		if strings.HasPrefix(name, jobID+"/") {
			names = append(names, name)
		}
		return nil
	})
	for _, name := range names {
		err = errors.Join(err, s.Blobs.Remove(ctx, name))
	}
	return err
}
