package check

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"muster/internal/fhir"
	"muster/internal/part"
	"muster/internal/store"
)

// jobFacts is what later stages need to know about a job.
type jobFacts struct {
	live          bool
	needsVersions bool // it reads old versions, or did so until recently
	time          fhir.Instant
	orphanedAt    fhir.Instant // when its files became orphans; 0 while the job needs them
}

// checkJobs checks all jobs. A record with problems is read a second time, because
// databases and files are not read in one snapshot.
func (k *checker) checkJobs(ctx context.Context) error {
	var suspects []string // ids of jobs to check again
	var writing []store.JobRecord
	var latest store.Job
	err := k.Store.EachJob(ctx, func(r store.JobRecord) error {
		k.Jobs++
		k.advance(1)
		k.jobs[r.Job.ID] = k.facts(&r.Job)
		if len(k.jobProblems(&r)) > 0 {
			suspects = append(suspects, r.Job.ID)
		}
		if r.Job.Time > latest.Time {
			latest = r.Job
		}
		if r.Job.State == store.Writing {
			writing = append(writing, r)
		}
		return nil
	})
	if err != nil {
		return err
	}
	clock, err := k.Store.Clock(ctx)
	if err != nil {
		return err
	}
	if latest.Time > clock {
		k.finding("clock", "job "+latest.ID, fmt.Sprintf("its transaction time is %v, after the clock of the directory, %v: the directory has lost what was committed last", latest.Time, clock), remedyRestore)
	}
	for _, id := range suspects {
		r, err := k.Store.JobRecord(ctx, id)
		if errors.Is(err, store.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		for _, problem := range k.jobProblems(&r) {
			k.finding("job", "job "+id, problem, remedyExport)
		}
	}
	for n := range writing {
		if err := k.checkReadable(ctx, &writing[n]); err != nil {
			return err
		}
	}
	return nil
}

func (k *checker) facts(j *store.Job) jobFacts {
	f := jobFacts{live: j.State.Live(), time: j.Time}
	f.needsVersions = j.State == store.Selecting || j.State == store.Writing || j.Finished > k.graceStart()
	switch j.State {
	case store.Failed, store.Cancelled:
		f.orphanedAt = max(1, j.Finished)
	case store.Expired:
		f.orphanedAt = max(1, j.Expires)
	}
	return f
}

// jobProblems returns what is inconsistent in a record.
func (k *checker) jobProblems(r *store.JobRecord) (problems []string) {
	add := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	j := &r.Job
	if !slices.Contains(store.States(), j.State) {
		add("its state %q is unknown", j.State)
		return problems
	}
	if k.Served && j.State.Live() && j.Lease > k.graceStart() && j.Progress < k.started-fhir.Instant(k.StallAfter.Milliseconds()) {
		add("it is %s and has made no progress since %v: it should have failed", j.State, j.Progress)
	}
	if overdue := j.Expires > 0 && j.Expires < k.graceStart(); k.Served && overdue && !j.State.Live() && j.State != store.Expired {
		add("it is %s, and its retention ended at %v: it should have expired", j.State, j.Expires)
	}
	switch j.State {
	case store.Writing, store.Complete:
		problems = append(problems, planProblems(r)...)
	default:
		if len(r.Parts) > 0 || len(r.Selections) > 0 || len(r.Contents) > 0 {
			add("it is %s, but still has %d parts, %d selections and %d contents of parts", j.State, len(r.Parts), len(r.Selections), len(r.Contents))
		}
	}
	if (j.State == store.Writing || j.State == store.Complete) && j.Time == 0 {
		add("it is %s without a transaction time", j.State)
	}
	if !j.State.Live() && (j.Finished == 0 || j.Expires == 0) {
		add("it is %s, but the times of its end and of its expiry are missing", j.State)
	}
	if j.State == store.Failed && j.Reason == "" {
		add("it failed without a reason")
	}
	return problems
}

// planProblems compares the parts with the selections, the contents and the counts.
func planProblems(r *store.JobRecord) (problems []string) {
	add := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	var selected, generated, planned int64
	done := 0
	for _, s := range r.Selections {
		if s.Err != nil {
			add("its selection of %v cannot be read: %v", s.Type, s.Err)
			continue
		}
		selected += int64(s.Keys.GetCardinality())
		problems = append(problems, selectionProblems(r, s.Selection)...)
	}
	for n, p := range r.Parts {
		planned += p.Count
		if p.Number != n+1 {
			add("its parts are not numbered from 1: part %d is at position %d", p.Number, n+1)
		}
		if p.Done {
			done++
			problems = append(problems, donePartProblems(&p)...)
		} else if p.Object != "" {
			add("part %d is not done, but names the file %s", p.Number, p.Object)
		}
		if p.Kind != store.PartRows {
			generated += p.Count
			problems = append(problems, contentProblems(r, &p)...)
			continue
		}
		if !slices.ContainsFunc(r.Selections, func(s store.SelectionRecord) bool { return s.Type == p.Type }) {
			add("part %d is of type %v, which has no selection", p.Number, p.Type)
		}
	}
	for _, c := range r.Contents {
		if !slices.ContainsFunc(r.Parts, func(p store.Part) bool { return p.Number == c.Number && p.Kind != store.PartRows && !p.Done }) {
			add("the content of part %d is stored, but the part is done, or not made of it", c.Number)
		}
	}
	if selected+generated != r.Job.Total || planned != r.Job.Total {
		add("%d resources were selected and %d planned in its parts, but its total is %d", selected+generated, planned, r.Job.Total)
	}
	switch {
	case r.Job.State == store.Complete && done < len(r.Parts):
		add("it is complete, but only %d of its %d parts are done", done, len(r.Parts))
	case r.Job.State == store.Writing && done == len(r.Parts):
		add("all of its %d parts are done, but it is not complete", done)
	}
	return problems
}

// contentProblems compares a part that is not of the selection with its content, which is stored
// until the part is done.
func contentProblems(r *store.JobRecord, p *store.Part) (problems []string) {
	add := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	at := slices.IndexFunc(r.Contents, func(c store.ContentRecord) bool { return c.Number == p.Number })
	switch {
	case p.Done:
		return nil
	case at < 0:
		add("part %d is not done, and its content is missing: the export will fail", p.Number)
		return problems
	}
	c := r.Contents[at]
	lines, bytes, err := part.CountLines(c.Content)
	switch err = cmp.Or(c.Err, err); {
	case err != nil:
		add("the content of part %d cannot be read: %v", p.Number, err)
	case lines != p.Count || bytes != p.Bytes:
		add("the content of part %d has %d lines in %d bytes, but %d in %d were planned", p.Number, lines, bytes, p.Count, p.Bytes)
	}
	return problems
}

// donePartProblems checks a finished part.
func donePartProblems(p *store.Part) (problems []string) {
	if p.Object == "" {
		problems = append(problems, fmt.Sprintf("part %d is done, but names no file", p.Number))
	}
	if p.Stored.Count != p.Count || p.Stored.Bytes != p.Bytes {
		problems = append(problems, fmt.Sprintf("part %d has %d resources in %d bytes, but %d in %d were planned",
			p.Number, p.Stored.Count, p.Stored.Bytes, p.Count, p.Bytes))
	}
	return problems
}

// selectionProblems compares the parts of one type with its selection: they must be
// consecutive ranges that cover it completely.
func selectionProblems(r *store.JobRecord, s store.Selection) (problems []string) {
	add := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	if s.Keys.IsEmpty() {
		return nil
	}
	first, last := store.KeyRange(s.Type)
	if low, high := store.RowKey(s.Keys.Minimum()), store.RowKey(s.Keys.Maximum()); low < first || high > last {
		add("its selection of %v holds row keys of another type", s.Type)
		return problems
	}
	covered := int64(0)
	before := store.RowKey(0)
	for _, p := range r.Parts {
		if p.Kind != store.PartRows || p.Type != s.Type {
			continue
		}
		if p.First <= before || p.Last < p.First {
			add("part %d begins before the previous part ends", p.Number)
			return problems
		}
		before = p.Last
		n := int64(s.Keys.Rank(uint64(p.Last))) - int64(s.Keys.Rank(uint64(p.First)-1))
		if n != p.Count {
			add("part %d should hold %d resources, but its range of the selection has %d", p.Number, p.Count, n)
		}
		covered += n
	}
	if total := int64(s.Keys.GetCardinality()); covered != total {
		add("the parts of %v cover %d of the %d selected resources", s.Type, covered, total)
	}
	return problems
}

// readableKeys is the number of keys in one look-up.
const readableKeys = 5000

// checkReadable checks that the resources that a job has still to write exist in the
// versions of its transaction time, with the planned size.
func (k *checker) checkReadable(ctx context.Context, r *store.JobRecord) error {
	for n := range r.Parts {
		p := &r.Parts[n]
		if p.Done || p.Kind != store.PartRows {
			continue
		}
		for _, s := range r.Selections {
			if s.Type != p.Type || s.Err != nil {
				continue
			}
			bytes, missing, err := k.readable(ctx, s.Selection, p, r.Job.Time)
			if err != nil {
				return err
			}
			problem := ""
			switch {
			case len(missing) > 0:
				problem = fmt.Sprintf("part %d needs the %v with row key %d as of %v (and %d more), which no longer exists: the export will fail",
					p.Number, p.Type, missing[0], r.Job.Time, len(missing)-1)
			case bytes != p.Bytes:
				problem = fmt.Sprintf("part %d was planned with %d bytes, but its resources have %d: the export will fail", p.Number, p.Bytes, bytes)
			default:
				continue
			}
			if open, err := k.partPending(ctx, p); err != nil {
				return err
			} else if open {
				k.finding("job", "job "+r.Job.ID, problem, remedyExport)
			}
		}
	}
	return nil
}

func (k *checker) readable(ctx context.Context, s store.Selection, p *store.Part, t fhir.Instant) (bytes int64, missing []store.RowKey, err error) {
	var keys []store.RowKey
	lookUp := func() error {
		n, gone, err := k.Store.Readable(ctx, keys, t)
		bytes, missing, keys = bytes+n, append(missing, gone...), keys[:0]
		return err
	}
	it := s.Keys.Iterator()
	for it.AdvanceIfNeeded(uint64(p.First)); it.HasNext() && it.PeekNext() <= uint64(p.Last); {
		if keys = append(keys, store.RowKey(it.Next())); len(keys) == readableKeys {
			if err := lookUp(); err != nil {
				return 0, nil, err
			}
		}
	}
	return bytes, missing, lookUp()
}

// partPending reports whether the part has still to be written.
func (k *checker) partPending(ctx context.Context, p *store.Part) (bool, error) {
	r, err := k.Store.JobRecord(ctx, p.JobID)
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return r.Job.State == store.Writing && slices.ContainsFunc(r.Parts, func(q store.Part) bool { return q.Number == p.Number && !q.Done }), nil
}
