package export

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"muster/internal/auth"
	"muster/internal/failpoint"
	"muster/internal/fhir"
	"muster/internal/humanize"
	"muster/internal/job"
	"muster/internal/store"

	"github.com/RoaringBitmap/roaring/v2/roaring64"
	"github.com/google/uuid"
)

// selectRows freezes the content of the job: one snapshot, one bitmap for each type, and
// the parts cut from it or generated from what the snapshot holds.
func (s *Service) selectRows(ctx context.Context, c *job.Claim) error {
	request, err := s.request(c.Task.Job)
	if err != nil {
		return job.Permanent(err)
	}
	selected, err := s.selectInSlice(ctx, c, request)
	if err != nil {
		return err
	}
	if err := s.addRemovalList(ctx, c.Task.Job.ID, selected); err != nil {
		return err
	}
	parts := selected.parts()
	if err := failpoint.Inject(ctx, "export.selected"); err != nil {
		return err
	}
	settle, cancel := c.FinishContext(ctx)
	defer cancel()
	if err := s.keepMembers(settle, c, selected); err != nil {
		return err
	}
	if err := s.jobs.StoreSelection(settle, c.Task, selected.selections, parts, s.now(), s.expires()); err != nil {
		return err
	}
	if len(parts) == 0 {
		s.Observer.JobEnded(store.Complete)
	}
	return failpoint.Inject(ctx, "export.writing")
}

// selectInSlice makes the selection in a snapshot of its own, for as long as the slice of
// the claim. The slice begins when the snapshot is open and its rows are counted, so that neither
// waiting for the write gate nor the search for damage uses it up.
func (s *Service) selectInSlice(ctx context.Context, c *job.Claim, r Request) (_ *selector, err error) {
	slice, ok := c.Slice()
	if !ok {
		return nil, job.Permanent(slowSelection{c.Task.Job.Selected, r.Filters[0].Plan.Type})
	}
	running, err := s.log.enter(ctx, c.Task.Job.ID)
	if err != nil {
		return nil, err
	}
	defer running.leave()
	snapshot, err := s.Store.OpenSnapshot(ctx, func(ctx context.Context, t fhir.Instant) error {
		return s.jobs.BeginSelecting(ctx, c.Task, t, s.now())
	})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, snapshot.Close()) }()
	if err := s.checkSince(ctx, r); err != nil {
		if unknown, ok := errors.AsType[store.SinceUnknown](err); ok {
			err = job.Permanent(lostSince{unknown})
		}
		return nil, err
	}
	held, err := s.tracking(ctx, c.Task.Job, r)
	if err != nil {
		return nil, err
	}
	sliced, stop := running.context(ctx)
	defer stop(nil)
	if err := compareCounts(sliced, snapshot, r); err != nil {
		if interrupted(sliced) {
			err = job.SliceEnd{}
		}
		return nil, err
	}
	timer := time.AfterFunc(slice, func() { stop(errSliceEnded) })
	defer timer.Stop()
	began := time.Now()
	x, err := s.runSelector(sliced, selector{snapshot: snapshot, time: snapshot.Time(), request: r, partBytes: s.PartBytes, progress: c.ReportProgress}, held)
	if err == nil || !interrupted(sliced) {
		return x, err
	}
	ran := slice // a slow machine may have needed longer to stop
	if errors.Is(context.Cause(sliced), errLogTooLong) {
		ran = min(ran, time.Since(began))
	}
	total, again := c.After(ran)
	if !again {
		return nil, job.Permanent(slowSelection{total.Milliseconds(), x.current})
	}
	if errors.Is(context.Cause(sliced), errSliceEnded) {
		s.Observer.SelectionInterrupted(InterruptedBySlice)
	}
	return nil, job.SliceEnd{Ran: ran}
}

// runSelector makes a selection. If what the client holds cannot be of this directory, it makes the
// one of a client of which that is not known.
func (s *Service) runSelector(ctx context.Context, begin selector, held *tracking) (*selector, error) {
	x := begin
	x.tracking = held
	err := x.run(ctx)
	if errors.Is(err, errForeignMembers) {
		s.Logger.Error("what the client of an export held is not of this directory: it has to start again with a full export", "since", begin.request.Since)
		x = begin
		err = x.run(ctx)
	}
	return &x, err
}

// compareCounts looks for rows that are lost or hidden in the types that the filters read.
func compareCounts(ctx context.Context, snapshot store.Snapshot, r Request) error {
	plans := slices.Clone(r.members)
	for _, f := range r.Filters {
		plans = append(plans, f.Plan)
	}
	for _, p := range plans {
		if err := snapshot.CheckCounts(ctx, p); err != nil {
			return fmt.Errorf("select %s: %w", p.Type, err)
		}
	}
	return nil
}

// The reasons for which a selection is interrupted and begun again later.
var (
	errSliceEnded = errors.New("the slice of the selection has ended")
	errLogTooLong = errors.New("the log of the database is too long for a selection to continue")
)

// interrupted reports whether a selection was interrupted so that it is begun again later.
func interrupted(ctx context.Context) bool {
	cause := context.Cause(ctx)
	return errors.Is(cause, errSliceEnded) || errors.Is(cause, errLogTooLong)
}

// slowSelection is the error of a selection that has used up its last slice.
type slowSelection struct {
	ran int64 // ms, in all slices
	typ fhir.Type
}

// Error implements error.
func (e slowSelection) Error() string {
	return fmt.Sprintf("the selection of %v ran for %s in all slices without a result", e.typ, humanize.Duration(time.Duration(e.ran)*time.Millisecond))
}

// Reason returns the text for the client.
func (e slowSelection) Reason() string {
	return fmt.Sprintf("The selection of %v was stopped, since it took too long: the export searched for %s in all. Narrow the _typeFilter of %[1]v.",
		e.typ, humanize.Duration(time.Duration(e.ran)*time.Millisecond))
}

// request compiles the stored request. It passed the kick-off, but the current rules of the server
// apply. The policy of the client is not known here: access.go compares it with each request.
func (s *Service) request(j store.Job) (Request, error) {
	return decodeRequest(j.Request, s.Compiler, s.Suppressed.Allow(j.Owner != auth.Anonymous.ID))
}

// selector makes the selection of a request, as its snapshot holds it.
type selector struct {
	snapshot  store.Snapshot
	time      fhir.Instant // of the snapshot
	request   Request
	partBytes int64             // size of a part
	progress  func(found int64) // is called with the number of resources found so far

	current    fhir.Type // that it reads now
	found      int64
	selections []store.Selection
	suppressed []store.Selection // what the removal List names
	tracking   *tracking         // nil if the client does not track its members, or if they are not known

	rows, lists, left, removed []store.Part
}

// parts returns the parts in the order of the manifest.
func (x *selector) parts() []store.Part {
	all := slices.Concat(x.rows, x.lists, x.left, x.removed)
	for n := range all {
		all[n].Number = n + 1
	}
	return all
}

// run reads from the snapshot: it selects the rows in the order of the types in the request, and
// what the other parts say.
func (x *selector) run(ctx context.Context) error {
	x.current = x.request.Filters[0].Plan.Type
	if err := failpoint.Inject(ctx, "export.selecting"); err != nil {
		return err
	}
	if err := x.selectAll(ctx); err != nil {
		return err
	}
	if err := x.selectSuppressed(ctx); err != nil {
		return err
	}
	if err := x.addRemovals(ctx); err != nil {
		return err
	}
	return x.addLeft(ctx)
}

// count counts one more resource.
func (x *selector) count() {
	x.found++
	x.progress(x.found)
}

// selectAll runs the plans of the filters.
func (x *selector) selectAll(ctx context.Context) error {
	cut := cutter{limit: x.partBytes}
	for n, f := range x.request.Filters {
		x.current = f.Plan.Type
		keys := roaring64.New()
		cut.start(f.Plan.Type)
		err := x.selectRows(ctx, n, func(key store.RowKey, size int64) error {
			keys.Add(uint64(key))
			x.count()
			return cut.add(key, size)
		})
		if err != nil {
			return fmt.Errorf("select %s: %w", f.Plan.Type, err)
		}
		if !keys.IsEmpty() {
			x.selections = append(x.selections, store.Selection{Type: f.Plan.Type, Keys: keys})
		}
	}
	x.rows = cut.parts
	return nil
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
		c.parts = append(c.parts, store.Part{Kind: store.PartRows, File: file.String(), Type: c.typ, First: key})
		c.open = true
	}
	part := &c.parts[len(c.parts)-1]
	part.Last = key
	part.Count++
	part.Bytes += size
	return nil
}
