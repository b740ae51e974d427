package export

import (
	"context"
	"errors"
	"fmt"

	"muster/internal/blob"
	"muster/internal/damage"
	"muster/internal/failpoint"
	"muster/internal/job"
	"muster/internal/part"
	"muster/internal/store"
)

// pageSize is the number of resources in a page. A database read lasts for one page
// instead of a whole part, at no measurable cost.
const pageSize = 2000

// writePart writes the file of one part, as of T, and stores it as finished.
func (s *Service) writePart(ctx context.Context, c *job.Claim) error {
	if err := s.jobs.CheckQuota(ctx, c.Task.Job, s.Quota, s.now()); err != nil {
		if errors.As(err, new(*store.OverQuota)) {
			return job.Permanent(err)
		}
		return err
	}
	name := objectName(c.Task)
	out, err := s.Blobs.Create(ctx, name)
	if err != nil {
		return err
	}
	defer out.Abort() // does nothing after Commit
	stored, err := s.writeLines(ctx, c, out)
	if err != nil {
		return err
	}
	if err := failpoint.Inject(ctx, "export.part.written"); err != nil {
		return err
	}
	if err := out.Commit(); err != nil {
		return err
	}
	if err := failpoint.Inject(ctx, "export.part.committed"); err != nil {
		return err
	}
	settle, cancel := c.FinishContext(ctx)
	defer cancel()
	state, err := s.jobs.FinishPart(settle, c.Task, name, stored, s.now(), s.expires())
	if errors.Is(err, store.ErrLeaseLost) || errors.Is(err, store.ErrCancelled) {
		// No row will ever name this file. Only the store can decide that: if settle has
		// ended, the row may have been written, and the janitor decides.
		return errors.Join(err, s.Blobs.Remove(settle, name))
	}
	if err != nil {
		return err
	}
	s.Observer.PartWritten(stored.Count, stored.Bytes, stored.GzipBytes)
	if state == store.Writing {
		return nil
	}
	s.Observer.JobEnded(state)
	s.Logger.Info("export ended", "job", c.Task.Job.ID, "state", state)
	return failpoint.Inject(ctx, "export.finished")
}

// objectName returns the name of the file of a claim. It contains the fence, so that a
// late worker cannot change the file of its successor (D7).
func objectName(t *store.Task) string {
	return fmt.Sprintf("%s/%d-%d.ndjson.gz", t.Job.ID, t.Part.Number, t.Fence)
}

// writeLines writes the lines of the part and compares the result with the plan: a part is
// complete or fails (MA-04).
func (s *Service) writeLines(ctx context.Context, c *job.Claim, out blob.Writer) (store.Stored, error) {
	p := c.Task.Part
	copyLines := s.copyRows
	if p.Kind != store.PartRows {
		copyLines = s.copyContent
	}
	w := part.NewWriter(out)
	if err := copyLines(ctx, c, w); err != nil {
		return store.Stored{}, err
	}
	sum, err := w.Close()
	if err != nil {
		return store.Stored{}, err
	}
	if sum.Count != p.Count || sum.Bytes != p.Bytes {
		return store.Stored{}, damage.New(damage.Selection, "part %d has %d resources in %d bytes, but %d in %d were selected: the selection, or the sizes in the directory, are damaged",
			p.Number, sum.Count, sum.Bytes, p.Count, p.Bytes)
	}
	return store.Stored(sum), nil
}

// copyRows copies the resources of a part of the selection, as of T.
func (s *Service) copyRows(ctx context.Context, c *job.Claim, w *part.Writer) error {
	p := c.Task.Part
	selection, err := s.jobs.Selection(ctx, p.JobID, p.Type)
	if err != nil {
		return err
	}
	written := int64(0)
	for keys := range pages(selection, p.First, p.Last) {
		err := s.Store.ReadAsOf(ctx, keys, c.Task.Job.Time, func(_ store.RowKey, line []byte) error {
			written++
			return w.WriteLine(line)
		})
		if err != nil {
			return fmt.Errorf("part %d: %w", p.Number, err)
		}
		if err := pageWritten(ctx, c, written); err != nil {
			return err
		}
	}
	return nil
}

// copyContent copies the lines of a part that were generated with the selection.
func (s *Service) copyContent(ctx context.Context, c *job.Claim, w *part.Writer) error {
	p := c.Task.Part
	content, err := s.jobs.PartContent(ctx, p.JobID, p.Number)
	if err != nil {
		return err
	}
	written := int64(0)
	err = part.EachLine(content, func(line []byte) error {
		written++
		return errors.Join(w.WriteLine(line), context.Cause(ctx))
	})
	if err != nil {
		return fmt.Errorf("part %d: %w", p.Number, err)
	}
	return pageWritten(ctx, c, written)
}

// pageWritten reports the progress of a part, and returns an error if its worker has to stop.
func pageWritten(ctx context.Context, c *job.Claim, written int64) error {
	c.ReportProgress(written)
	if err := failpoint.Inject(ctx, "export.part.page"); err != nil {
		return err
	}
	return context.Cause(ctx)
}

// pages yields the keys of a selection from first to last in slices of pageSize. A slice
// is valid only until the next iteration.
func pages(s store.Selection, first, last store.RowKey) func(yield func([]store.RowKey) bool) {
	return func(yield func([]store.RowKey) bool) {
		keys := make([]store.RowKey, 0, pageSize)
		it := s.Keys.Iterator()
		for it.AdvanceIfNeeded(uint64(first)); it.HasNext() && it.PeekNext() <= uint64(last); {
			keys = append(keys, store.RowKey(it.Next()))
			if len(keys) == pageSize {
				if !yield(keys) {
					return
				}
				keys = keys[:0]
			}
		}
		if len(keys) > 0 {
			yield(keys)
		}
	}
}
