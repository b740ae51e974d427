package export

import (
	"context"
	"errors"
	"fmt"

	"muster/internal/auth"
	"muster/internal/failpoint"
	"muster/internal/fhir"
	"muster/internal/job"
	"muster/internal/search/plan"
	"muster/internal/store"

	"github.com/RoaringBitmap/roaring/v2/roaring64"
	"github.com/google/uuid"
)

// selectRows freezes the content of the job: one snapshot, one bitmap for each type, and
// the parts cut from it.
func (s *Service) selectRows(ctx context.Context, c *job.Claim) error {
	plans, err := s.plans(c.Task.Job)
	if err != nil {
		return job.Permanent(err)
	}
	snapshot, err := s.Store.OpenSnapshot(ctx, func(ctx context.Context, t fhir.Instant) error {
		return s.jobs.BeginSelecting(ctx, c.Task, t, s.now())
	})
	if err != nil {
		return err
	}
	selections, parts, err := s.selectAll(ctx, c, snapshot, plans)
	if err := errors.Join(err, snapshot.Close()); err != nil {
		return err
	}
	if err := failpoint.Inject(ctx, "export.selected"); err != nil {
		return err
	}
	settle, cancel := c.FinishContext(ctx)
	defer cancel()
	if err := s.jobs.StoreSelection(settle, c.Task, selections, parts, s.now(), s.expires()); err != nil {
		return err
	}
	if len(parts) == 0 {
		s.Observer.JobEnded(store.Complete)
	}
	return failpoint.Inject(ctx, "export.writing")
}

// plans compiles the stored request. It passed the kick-off, but the current rules apply.
func (s *Service) plans(j store.Job) ([]plan.Plan, error) {
	request, err := decodeRequest(j.Request, s.Compiler, s.suppressedAccess(auth.Principal{ID: j.Owner}))
	if err != nil {
		return nil, err
	}
	plans := make([]plan.Plan, len(request.Filters))
	for n, filter := range request.Filters {
		plans[n] = filter.Plan
	}
	return plans, nil
}

// selectAll runs the plans in the order of the types in the request, which is the order
// in the manifest.
func (s *Service) selectAll(ctx context.Context, c *job.Claim, snapshot store.Snapshot, plans []plan.Plan) ([]store.Selection, []store.Part, error) {
	if err := failpoint.Inject(ctx, "export.selecting"); err != nil {
		return nil, nil, err
	}
	cut := cutter{limit: s.PartBytes}
	var selections []store.Selection
	found := int64(0)
	for _, p := range plans {
		keys := roaring64.New()
		cut.start(p.Type)
		err := snapshot.Select(ctx, p, func(key store.RowKey, size int64) error {
			keys.Add(uint64(key))
			found++
			c.ReportProgress(found)
			return cut.add(key, size)
		})
		if err != nil {
			return nil, nil, fmt.Errorf("select %s: %w", p.Type, err)
		}
		if !keys.IsEmpty() {
			selections = append(selections, store.Selection{Type: p.Type, Keys: keys})
		}
	}
	return selections, cut.parts, nil
}

// cutter cuts rows, which arrive in ascending order, into parts of one type. A part holds
// at least one row, and at most limit bytes unless a single row is larger.
type cutter struct {
	limit int64
	parts []store.Part
	typ   fhir.Type
	open  bool // the last part accepts more rows of this type
}

// start begins the rows of the next type (MA-04: one type in a file).
func (c *cutter) start(t fhir.Type) { c.typ, c.open = t, false }

// add adds a row to the last part or to a new one.
func (c *cutter) add(key store.RowKey, size int64) error {
	if !c.open || c.parts[len(c.parts)-1].Bytes+size > c.limit {
		file, err := uuid.NewRandom()
		if err != nil {
			return err
		}
		c.parts = append(c.parts, store.Part{Number: len(c.parts) + 1, File: file.String(), Type: c.typ, First: key})
		c.open = true
	}
	part := &c.parts[len(c.parts)-1]
	part.Last = key
	part.Count++
	part.Bytes += size
	return nil
}
