package load

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"muster/internal/failpoint"
	"muster/internal/fhir"
	"muster/internal/search/index"
	"muster/internal/store"

	"golang.org/x/sync/errgroup"
)

// Config configures a load.
type Config struct {
	Directory Directory
	Extractor *index.Extractor
	Atomic    bool     // commit all or nothing, see [MaxAtomicChanges]; nothing is committed if anything is refused
	Changes   bool     // apply changes: lists of changes and of removals, and DELETE in Bundles
	KeepMeta  bool     // keep meta.lastUpdated of the source. Defaults to the commit time
	Strict    bool     // refuse resources with warnings, except those that are tolerated ([Kind.Tolerated])
	Rejects   Rejecter // receives refusals. Optional
	Warnings  Rejecter // receives warnings about resources that were loaded. Optional
	Progress  Progress // receives the position after each batch. Optional
}

// Directory is the part of [store.Directory] that a load uses.
type Directory interface {
	// Apply commits changes in order and returns one outcome for each that was committed.
	Apply(ctx context.Context, changes []store.Change) ([]store.Outcome, error)
	// ApplyAll commits all changes, or none if confirm returns an error.
	ApplyAll(ctx context.Context, changes []store.Change, confirm func([]store.Outcome) error) ([]store.Outcome, error)
	// Present returns which of the ids the directory has.
	Present(ctx context.Context, t fhir.Type, ids []string) (map[string]bool, error)
	// Recall returns what the directory knows about versions of resources (see [store.ChangeLog]).
	Recall(ctx context.Context, versions []store.Version) ([]store.Recalled, error)
	// Referrers and Bodies find what refers to removed resources (see [store.Reader]).
	Referrers(ctx context.Context, t fhir.Type, param int, target fhir.Type, ids []string, limit int) ([]store.Row, error)
	Bodies(ctx context.Context, keys []store.RowKey, yield func(row store.Row, line []byte) error) error
}

// Rejecter receives refusals or warnings from one goroutine, in the order of the source.
// Warnings about dangling references come at the end. An error ends the load.
type Rejecter interface {
	Reject(Rejected) error
}

// Rejected is one refused piece of input, or one warning about a loaded resource, as a line
// of a rejects file. Type and ID are empty if the source does not give them in a valid
// form.
type Rejected struct {
	File   string `json:"file"`
	Line   int    `json:"line"` // of its start, from 1; of the Bundle for an entry on the same line
	Type   string `json:"type"`
	ID     string `json:"id"`
	Reason string `json:"reason"`
	Stored Stored `json:"stored,omitempty"` // of a refusal: the state of the older version
	Kind   Kind   `json:"-"`
}

// Progress receives the position of a load after each batch, from one goroutine.
type Progress interface {
	Loaded(Position)
}

// Position is the progress of a load.
type Position struct {
	Input   string // the input that is being read
	Bytes   int64  // bytes read of all inputs, before decompression
	Total   int64  // bytes of all inputs, or -1 if unknown
	Summary Summary
}

// Summary counts the outcomes of the resources that were read.
type Summary struct {
	Read      int64
	Created   int64
	Updated   int64
	Unchanged int64
	Removed   int64
	Absent    int64 // removals of resources that the directory does not have
	Replaced  int64 // changes that a later one of the same resource replaces in an atomic load
	Refused   map[Kind]int64
	Notices   []string       // problems of inputs that were read all the same, a line each; set at the end of [Run]
	Warned    map[Kind]int64 // a resource may have several warnings

	// Dangling groups the references whose targets the directory does not have at the end of
	// the load: those of resources that were loaded, and those of any resource to one that was
	// removed. The largest group is first. There are at most 100 groups, and one without names
	// for all others.
	Dangling []DanglingGroup

	// Outside counts the references to other servers by the base URL of the server. It lists
	// at most 100 servers; the others are counted under the empty text.
	Outside map[string]int64

	// Older lists older versions that stay because a newer one was refused, in the order of
	// the source, at most 10,000. A resource that is refused twice is listed twice. Kept
	// counts all of them.
	Older []Older
	Kept  map[Stored]int64
}

// keep records an older version that stays.
func (s *Summary) keep(o Older) {
	s.Kept[o.Stored]++
	if len(s.Older) < maxOlder {
		s.Older = append(s.Older, o)
	}
}

// maxOutside is the number of servers that a summary lists.
const maxOutside = 100

// addOutside counts a reference to another server.
func (s *Summary) addOutside(server string) {
	if _, known := s.Outside[server]; !known && len(s.Outside) >= maxOutside {
		server = ""
	}
	s.Outside[server]++
}

// Loaded returns the number of resources that were not refused, with removals. It is 0 after an
// atomic load that has committed nothing.
func (s Summary) Loaded() int64 {
	return s.Created + s.Updated + s.Unchanged + s.Removed + s.Absent + s.Replaced
}

// RefusedTotal returns the number of refusals.
func (s Summary) RefusedTotal() int64 { return total(s.Refused) }

// KeptTotal returns the number of older versions that stay.
func (s Summary) KeptTotal() int64 { return total(s.Kept) }

// WarnedTotal returns the number of warnings.
func (s Summary) WarnedTotal() int64 { return total(s.Warned) }

func total[K comparable](by map[K]int64) (n int64) {
	for _, of := range by {
		n += of
	}
	return n
}

// workers is the number of goroutines that prepare resources.
const workers = 2

// Run loads the inputs in order and returns a summary. It stops at the first error of the
// directory or of ctx; the summary then counts what was committed. If inputs could not be
// read to their end, Run loads all others and returns their errors, joined.
func Run(ctx context.Context, c Config, inputs []Input) (Summary, error) {
	table, err := readRules()
	if err != nil {
		return Summary{}, err
	}
	l := &loader{Config: c, total: totalSize(inputs), checks: newCrossChecks(c.Directory, c.Extractor),
		hider:   hider{writer: writer{extractor: c.Extractor}},
		summary: Summary{Refused: map[Kind]int64{}, Warned: map[Kind]int64{}, Kept: map[Stored]int64{}, Outside: map[string]int64{}}}
	group, ctx := errgroup.WithContext(ctx)
	work, order := make(chan *batch), make(chan *batch, workers)
	buffers := newBufferPool()
	var read inputResult
	group.Go(func() (err error) {
		read, err = awaitInputs(ctx, &inputReader{changes: c.Changes}, inputs, buffers, work, order)
		return err
	})
	for range workers {
		group.Go(func() error { return prepareAll(ctx, c.preparer(table, buffers), work) })
	}
	group.Go(func() error { return l.commitAll(ctx, order) })
	err = group.Wait()
	l.summary.Notices = read.notices
	if err != nil {
		return l.summary, err
	}
	return l.summary, read.broken
}

// inputResult is the result of reading all inputs.
type inputResult struct {
	notices []string
	broken  error // joins the errors of inputs that could not be read to their end
	err     error
}

// awaitInputs reads the inputs into batches. When ctx ends, it does not wait for the input that
// is being read, which may be a terminal, nor for the text that is being searched.
func awaitInputs(ctx context.Context, reader *inputReader, inputs []Input, buffers bufferPool, work, order chan<- *batch) (inputResult, error) {
	result := make(chan inputResult, 1)
	go func() {
		defer close(work)
		defer close(order)
		broken, err := readInputs(ctx, reader, inputs, buffers, work, order)
		result <- inputResult{reader.notices, broken, err}
	}()
	select {
	case r := <-result:
		return r, r.err
	case <-ctx.Done():
		return inputResult{}, ctx.Err()
	}
}

// prepareAll prepares batches. When ctx ends, it does not wait for the one that is being
// prepared, since a text of the maximum size takes seconds. Nothing else uses the preparer and
// the batch then.
func prepareAll(ctx context.Context, p *preparer, work <-chan *batch) error {
	for {
		b := receive(ctx, work)
		if b == nil {
			return ctx.Err()
		}
		go b.prepare(ctx, p)
		select {
		case <-b.prepared:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// receive returns the next batch, or nil after the last one and when ctx ends.
func receive(ctx context.Context, from <-chan *batch) *batch {
	select {
	case b := <-from:
		return b
	case <-ctx.Done():
		return nil
	}
}

func totalSize(inputs []Input) int64 {
	var total int64
	for _, in := range inputs {
		if in.Size < 0 {
			return -1
		}
		total += in.Size
	}
	return total
}

// readInputs reads the inputs into batches. It sends each batch to work, to be prepared,
// and to order, to be committed. The first error joins those of inputs that could not be
// read to their end.
func readInputs(ctx context.Context, reader *inputReader, inputs []Input, buffers bufferPool, work, order chan<- *batch) (broken, err error) {
	current := newBatch()
	flush := func(name string) error {
		full := current
		full.name, full.bytesRead = name, reader.bytesRead
		current = newBatch()
		buffers.get(current)
		for _, to := range []chan<- *batch{work, order} {
			select {
			case to <- full:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	}
	reader.emit = func(p piece) error {
		current.add(p)
		if current.full() {
			return flush(p.file)
		}
		return ctx.Err()
	}
	name := ""
	for _, in := range inputs {
		name = in.Name
		err := reader.readInput(ctx, in)
		if ctx.Err() != nil {
			return broken, ctx.Err()
		}
		if b, ok := errors.AsType[*brokenInput](err); ok {
			broken = errors.Join(broken, b)
			err = reader.emit(piece{file: b.file, line: b.line, text: b.text, refusal: refuse(BadInput, "the rest of the input cannot be read: %v", b.err)})
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return broken, err
		}
	}
	return broken, flush(name)
}

// loader commits batches and counts their outcomes.
type loader struct {
	Config
	total   int64
	checks  *crossChecks
	hider   hider
	all     batch // all batches of an atomic load
	size    int   // bytes of their documents
	summary Summary
}

// commitAll commits the batches in order, each when it is prepared, and then reports
// dangling references.
func (l *loader) commitAll(ctx context.Context, order <-chan *batch) error {
	for {
		b := receive(ctx, order)
		if b == nil {
			break
		}
		select {
		case <-b.prepared:
		case <-ctx.Done():
		}
		if ctx.Err() != nil { // the batch may be prepared in part
			return ctx.Err()
		}
		commit := l.commitBatch
		if l.Atomic {
			commit = l.collect
		}
		if err := commit(ctx, b); err != nil {
			return err
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if l.Atomic {
		if err := l.commitBatch(ctx, &l.all); err != nil {
			return err
		}
	}
	if err := failpoint.Inject(ctx, "load.written"); err != nil {
		return err
	}
	err := l.checks.reportDangling(ctx, l.warn)
	l.summary.Dangling = l.checks.dangling.list()
	return err
}

// warn counts and reports a warning.
func (l *loader) warn(w Rejected) error {
	l.summary.Warned[w.Kind]++
	if l.Warnings == nil {
		return nil
	}
	if err := l.Warnings.Reject(w); err != nil {
		return fmt.Errorf("write warnings: %w", err)
	}
	return nil
}

// commitBatch applies the changes of a batch, reports its refusals and runs the checks
// across resources.
func (l *loader) commitBatch(ctx context.Context, b *batch) error {
	apply := l.applyBatch
	if l.Atomic {
		apply = l.applyAtomic
	}
	outcomes, err := apply(ctx, b)
	for n := range b.refused {
		if r := &b.refused[n]; r.change >= len(outcomes) {
			r.Stored = "" // its revision was not committed
		}
	}
	// Refusals are reported even if the write failed: a refused resource is not loaded
	// either way.
	err = errors.Join(err, l.reject(b.refused))
	l.summary.Read += int64(b.resources)
	l.count(b.refused, outcomes)
	if err != nil {
		return err
	}
	for n := range b.accepted {
		for _, server := range b.accepted[n].outside {
			l.summary.addOutside(server)
		}
	}
	if len(b.accepted) > 0 {
		if err := l.checks.check(ctx, b.accepted, l.warn); err != nil {
			return err
		}
	}
	if err := failpoint.Inject(ctx, "load.batch"); err != nil {
		return err
	}
	if l.Progress != nil {
		l.Progress.Loaded(Position{Input: b.name, Bytes: b.bytesRead, Total: l.total, Summary: l.summary})
	}
	return nil
}

// applyBatch applies the changes of a batch, and hides the older versions of what it refuses.
func (l *loader) applyBatch(ctx context.Context, b *batch) ([]store.Outcome, error) {
	for n := range b.refused {
		if r := &b.refused[n]; r.change >= 0 {
			b.changes[r.change].Revise = l.hider.revise(r)
		}
	}
	held, err := l.hold(ctx, b)
	if err != nil {
		return nil, err
	}
	outcomes, err := l.applyChanges(ctx, b.changes)
	b.settle(held, outcomes)
	return outcomes, err
}

// applyChanges applies the changes of a batch to the directory.
func (l *loader) applyChanges(ctx context.Context, changes []store.Change) ([]store.Outcome, error) {
	if len(changes) == 0 {
		return nil, nil
	}
	outcomes, err := l.Directory.Apply(ctx, changes)
	if err != nil {
		err = fmt.Errorf("%d of %d resources of a batch were written: %w", len(outcomes), len(changes), err)
	}
	return outcomes, err
}

// reject counts and reports refusals with the state of their older versions.
func (l *loader) reject(list []refused) error {
	for n := range list {
		r := list[n].Rejected
		if list[n].guessed {
			if r.Stored == "" {
				continue
			}
			l.summary.Read++
		}
		l.summary.Refused[r.Kind]++
		if r.Stored != "" {
			l.summary.keep(Older{r.Type, r.ID, r.Stored})
		}
		if l.Rejects == nil {
			continue
		}
		if err := l.Rejects.Reject(r); err != nil {
			return fmt.Errorf("write rejects: %w", err)
		}
	}
	return nil
}

// count counts the outcomes of resources that were not refused.
func (l *loader) count(list []refused, outcomes []store.Outcome) {
	refusals := map[int]bool{}
	for n := range list {
		refusals[list[n].change] = true
	}
	for n, o := range outcomes {
		if refusals[n] {
			continue
		}
		switch o {
		case store.Created:
			l.summary.Created++
		case store.Updated:
			l.summary.Updated++
		case store.Unchanged:
			l.summary.Unchanged++
		case store.Removed:
			l.summary.Removed++
		case store.Absent:
			l.summary.Absent++
		}
	}
}

// RejectsFile writes rejects as NDJSON.
type RejectsFile struct{ encoder *json.Encoder }

// NewRejectsFile returns a rejects file that writes to w.
func NewRejectsFile(w io.Writer) *RejectsFile {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	return &RejectsFile{encoder}
}

// Reject implements [Rejecter].
func (f *RejectsFile) Reject(r Rejected) error { return f.encoder.Encode(r) }
