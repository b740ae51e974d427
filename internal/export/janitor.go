package export

import (
	"context"
	"errors"
	"fmt"
	"time"

	"muster/internal/failpoint"
	"muster/internal/store"
)

// runJanitor runs the janitor at once and then at intervals of Config.SweepEvery.
func (s *Service) runJanitor(ctx context.Context) error {
	tick := time.NewTicker(s.SweepEvery)
	defer tick.Stop()
	for {
		if err := s.sweep(ctx); err != nil && ctx.Err() == nil {
			s.Logger.Error("janitor failed; it will retry", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// sweep is one run of the janitor: it corrects times that the clock has not reached after it was
// set back, expires jobs whose retention is over, removes blobs that no row names, deletes old
// versions that no job needs, and forgets old removals.
func (s *Service) sweep(ctx context.Context) error {
	now := s.now()
	corrected, err := s.jobs.CorrectTimes(ctx, now, s.engine.LongestWait().Milliseconds())
	if err != nil {
		return err
	}
	if corrected > 0 {
		s.Logger.Warn("the clock was set back: times of exports that lay ahead of it were corrected, and the exports continue", "count", corrected)
		s.engine.Wake()
	}
	expired, err := s.jobs.Expire(ctx, now, now-milliseconds(s.Forget))
	if expired > 0 {
		s.Logger.Info("exports expired", "count", expired)
		s.Observer.Removed(RemovedExport, expired)
	}
	if err := failpoint.Inject(ctx, "export.sweep.expired"); err != nil {
		return err
	}
	_, vacuumed := s.Store.Vacuum(ctx)
	return errors.Join(err, s.removeOrphans(ctx), vacuumed, s.sweepRemovals(ctx))
}

// listedBlob is a blob with its time of change.
type listedBlob struct {
	name     string
	modified time.Time
}

// removeOrphans removes the blobs that no part row names and whose job is not live. A
// blob whose job is in no row is removed only if it is old enough and its name has the
// form of an export file, so files of an operator are kept. The blobs are listed before
// the rows are read: a blob that a worker is about to store is then either protected by
// its live job or named by its row.
func (s *Service) removeOrphans(ctx context.Context) error {
	var blobs []listedBlob
	err := s.Blobs.List(ctx, func(name string, modified time.Time) error {
		blobs = append(blobs, listedBlob{name, modified})
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
		id, isExport := store.JobOf(b.name)
		live, known := jobs[id]
		if !objects[b.name] && !live && (known || isExport && s.isOldEnough(b)) {
			orphans = append(orphans, b.name)
		}
	}
	if len(orphans) == 0 {
		return nil
	}
	// The folder may have been given to another directory since this server started, even
	// to a copy of this directory, whose jobs have the same ids.
	if err := s.Owned(ctx); err != nil {
		return fmt.Errorf("%d files that no export names were not removed: %w", len(orphans), err)
	}
	return s.remove(ctx, orphans)
}

// isOldEnough reports whether a blob whose job is in no row may be removed. Its time is
// that of the file system, so it is compared with the clock of this machine instead of
// that of the directory. A time in the future counts as new.
func (s *Service) isOldEnough(b listedBlob) bool { return time.Since(b.modified) >= s.StrangerAge }

// remove removes blobs that no row names.
func (s *Service) remove(ctx context.Context, names []string) error {
	for _, name := range names {
		if err := failpoint.Inject(ctx, "export.sweep.remove"); err != nil {
			return err
		}
		if err := s.Blobs.Remove(ctx, name); err != nil {
			return err
		}
		s.Observer.Removed(RemovedFile, 1)
		s.Logger.Info("orphaned file removed", "name", name)
	}
	return nil
}
