package load

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"muster/internal/failpoint"
	"muster/internal/store"

	"golang.org/x/sync/errgroup"
)

// Config says where to load to and how.
type Config struct {
	Directory store.Directory
	Extractor Extractor
	KeepMeta  bool     // keep meta.lastUpdated of the source; otherwise it is the commit time
	Rejects   Rejecter // hears of what is refused; nil for nobody
	Warnings  Rejecter // hears of what breaks a rule of the profiles and is loaded all the same; nil for nobody
	Progress  Progress // hears how far the load is; nil for nobody
}

// Rejecter takes what was refused, or warned about, from one goroutine. It comes in
// the order of the source, but references that lead nowhere come at the end, when
// that is certain. An error ends the load.
type Rejecter interface {
	Reject(Rejected) error
}

// Rejected is one refused piece of input, or one warning about a resource that was
// committed, as a line of a rejects file. Type and
// ID are empty where the source does not say them in a valid form.
type Rejected struct {
	File   string `json:"file"`
	Line   int    `json:"line"` // where it starts, from 1; of the Bundle for an entry on the same line
	Type   string `json:"type"`
	ID     string `json:"id"`
	Reason string `json:"reason"`
	Stored Stored `json:"stored,omitempty"` // of a refusal: what became of the older version
	Kind   Kind   `json:"-"`
}

// Progress hears after each batch how far the load is, from one goroutine.
type Progress interface {
	Loaded(Position)
}

// Position is how far a load is.
type Position struct {
	Input   string // being read
	Bytes   int64  // read of all inputs, as they are stored
	Total   int64  // bytes of all inputs, or -1 when not known
	Summary Summary
}

// Summary counts what became of the resources that were read.
type Summary struct {
	Read      int64
	Created   int64
	Updated   int64
	Unchanged int64
	Refused   map[Kind]int64
	Notices   []string       // what was odd about inputs that were still read, a line each; set at the end of [Run]
	Warned    map[Kind]int64 // warnings: a resource may have several or none

	// Older names the older versions that stay in place since a newer one was refused,
	// in the order of the source, at most 10,000; Kept counts all. A resource that is
	// refused again is there again.
	Older []Older
	Kept  map[Stored]int64
}

// keep notes an older version that stays.
func (s *Summary) keep(o Older) {
	s.Kept[o.Stored]++
	if len(s.Older) < maxOlder {
		s.Older = append(s.Older, o)
	}
}

// RefusedTotal is the number of all refusals.
func (s Summary) RefusedTotal() int64 { return total(s.Refused) }

// KeptTotal is the number of older versions that stay in place.
func (s Summary) KeptTotal() int64 { return total(s.Kept) }

// WarnedTotal is the number of all warnings.
func (s Summary) WarnedTotal() int64 { return total(s.Warned) }

func total[K comparable](by map[K]int64) (n int64) {
	for _, of := range by {
		n += of
	}
	return n
}

// workers is how many goroutines prepare resources.
const workers = 2

// Run loads the inputs in order and returns what became of them. It stops at the
// first error of the directory or of ctx; the summary then counts what was
// committed. Inputs that could not be read to their end are errors too, joined,
// after the rest was loaded.
func Run(ctx context.Context, c Config, inputs []Input) (Summary, error) {
	table, err := readShapes(shapeText)
	if err != nil {
		return Summary{}, err
	}
	l := &loader{Config: c, total: totalSize(inputs), checks: newCrossChecks(c.Directory),
		hider:   hider{writer: writer{extractor: c.Extractor}},
		summary: Summary{Refused: map[Kind]int64{}, Warned: map[Kind]int64{}, Kept: map[Stored]int64{}}}
	group, ctx := errgroup.WithContext(ctx)
	work, order := make(chan *batch), make(chan *batch, workers)
	spare := newBufferPool()
	var broken error
	s := &inputReader{}
	group.Go(func() error {
		defer close(work)
		defer close(order)
		var err error
		broken, err = readInputs(ctx, s, inputs, spare, work, order)
		return err
	})
	for range workers {
		group.Go(func() error {
			p := &preparer{shapes: table, writer: writer{extractor: c.Extractor}, keepMeta: c.KeepMeta, buffers: spare}
			for b := range work {
				b.prepare(p)
			}
			return nil
		})
	}
	group.Go(func() error { return l.commitAll(ctx, order) })
	err = group.Wait()
	l.summary.Notices = s.notices
	if err != nil {
		return l.summary, err
	}
	return l.summary, broken
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

// readInputs reads the inputs into batches. Each goes to order, where it is waited
// for, and to work. The first error tells of inputs that broke off.
func readInputs(ctx context.Context, s *inputReader, inputs []Input, spare bufferPool, work, order chan<- *batch) (broken, err error) {
	current := newBatch()
	flush := func(name string) error {
		full := current
		full.name, full.bytesRead = name, s.bytesRead
		current = newBatch()
		spare.get(current)
		for _, to := range []chan<- *batch{work, order} {
			select {
			case to <- full:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	}
	s.emit = func(p piece) error {
		current.add(p)
		if current.full() {
			return flush(p.file)
		}
		return ctx.Err()
	}
	name := ""
	for _, in := range inputs {
		name = in.Name
		err := s.readInput(ctx, in)
		if ctx.Err() != nil {
			return broken, ctx.Err()
		}
		if b, ok := errors.AsType[*brokenInput](err); ok {
			broken = errors.Join(broken, b)
			err = s.emit(piece{file: b.file, line: b.line, text: b.text, refusal: refuse(BadInput, "the rest of the input cannot be read: %v", b.err)})
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return broken, err
		}
	}
	return broken, flush(name)
}

// loader applies batches and keeps the count.
type loader struct {
	Config
	total   int64
	checks  *crossChecks
	hider   hider
	summary Summary
}

func (l *loader) commitAll(ctx context.Context, order <-chan *batch) error {
	for b := range order {
		select {
		case <-b.prepared:
		case <-ctx.Done():
			return ctx.Err()
		}
		if err := l.commitBatch(ctx, b); err != nil {
			return err
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := failpoint.Inject(ctx, "load.written"); err != nil {
		return err
	}
	return l.checks.reportDangling(l.warn)
}

// warn counts a warning and passes it on.
func (l *loader) warn(w Rejected) error {
	l.summary.Warned[w.Kind]++
	if l.Warnings == nil {
		return nil
	}
	if err := l.Warnings.Reject(w); err != nil {
		return fmt.Errorf("the warnings cannot be written: %w", err)
	}
	return nil
}

func (l *loader) commitBatch(ctx context.Context, b *batch) error {
	for n := range b.refused {
		if r := &b.refused[n]; r.change >= 0 {
			b.changes[r.change].Revise = l.hider.revise(r)
		}
	}
	outcomes, err := l.applyChanges(ctx, b.changes)
	for n := range b.refused {
		if r := &b.refused[n]; r.change >= len(outcomes) {
			r.Stored = "" // what was made of it has not been committed
		}
	}
	// What is refused is told even if the writing has failed: it is not loaded either way.
	err = errors.Join(err, l.reject(b.refused))
	l.summary.Read += int64(b.resources)
	l.count(b.changes, outcomes)
	if err != nil {
		return err
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

// write applies the changes of a batch.
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

// reject counts refusals and passes them on, with what became of older versions.
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
			return fmt.Errorf("the rejects cannot be written: %w", err)
		}
	}
	return nil
}

// count counts what became of the resources that were not refused.
func (l *loader) count(changes []store.Change, outcomes []store.Outcome) {
	for n, o := range outcomes {
		if changes[n].Revise != nil {
			continue
		}
		switch o {
		case store.Created:
			l.summary.Created++
		case store.Updated:
			l.summary.Updated++
		case store.Unchanged:
			l.summary.Unchanged++
		}
	}
}

// RejectsFile writes rejects as NDJSON.
type RejectsFile struct{ encoder *json.Encoder }

// NewRejectsFile writes to w.
func NewRejectsFile(w io.Writer) *RejectsFile {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	return &RejectsFile{encoder}
}

// Reject implements [Rejecter].
func (f *RejectsFile) Reject(r Rejected) error { return f.encoder.Encode(r) }
