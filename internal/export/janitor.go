package export

import (
	"context"
	"errors"
	"strings"
	"time"

	"muster/internal/fault"
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
	if err := fault.Point(ctx, "export.sweep.expired"); err != nil {
		return err
	}
	_, vacuumed := s.Store.Vacuum(ctx)
	return errors.Join(err, s.removeOrphans(ctx), vacuumed)
}

// removeOrphans removes the blobs that no part row names and whose job is not
// live. The blobs are listed before the rows are read: a blob that a worker is
// about to name is then either kept by its live job or named by its row.
func (s *Service) removeOrphans(ctx context.Context) error {
	var names []string
	err := s.Blobs.List(ctx, func(name string, _ time.Time) error {
		names = append(names, name)
		return nil
	})
	if err != nil {
		return err
	}
	if err := fault.Point(ctx, "export.sweep.listed"); err != nil {
		return err
	}
	objects, live, err := s.jobs.Objects(ctx)
	if err != nil {
		return err
	}
	for _, name := range names {
		job, _, _ := strings.Cut(name, "/")
		if objects[name] || live[job] {
			continue
		}
		if err := fault.Point(ctx, "export.sweep.remove"); err != nil {
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
