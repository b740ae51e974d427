package load

import (
	"context"
	"errors"
	"fmt"

	"muster/internal/fhir"
	"muster/internal/humanize"
	"muster/internal/store"
)

// The limits of an atomic load. It is one transaction, which is prepared in memory and which other
// writers and the start of an export wait for.
const (
	// MaxAtomicChanges is the maximum number of changes: about 4 s inside the write gate and 50 MB
	// of memory for resources of 2 KB.
	MaxAtomicChanges = 10_000
	// MaxAtomicBytes is the maximum size of the resources as they are stored.
	MaxAtomicBytes = 64 << 20
)

// collect adds a batch to the changes of an atomic load.
func (l *loader) collect(_ context.Context, b *batch) error {
	l.summary.Read += int64(b.resources)
	before := len(l.all.changes)
	for n := range b.changes {
		l.size += len(b.changes[n].Document.Head) + len(b.changes[n].Document.Tail)
	}
	if before+len(b.changes) > MaxAtomicChanges || l.size > MaxAtomicBytes {
		return fmt.Errorf("an atomic load has at most %s changes and %s of resources, since other writers wait until all are written: load less at once, or leave out --atomic",
			humanize.Int(MaxAtomicChanges), humanize.Bytes(MaxAtomicBytes))
	}
	for n := range b.accepted {
		b.accepted[n].change += before
	}
	for n := range b.refused {
		r := &b.refused[n]
		r.change, r.order = -1, 0 // nothing will be written, so the older version stays as it is
	}
	l.all.changes = append(l.all.changes, b.changes...)
	l.all.accepted = append(l.all.accepted, b.accepted...)
	l.all.refused = append(l.all.refused, b.refused...)
	l.all.name, l.all.bytesRead = b.name, b.bytesRead
	if l.Progress != nil {
		l.Progress.Loaded(Position{Input: b.name, Bytes: b.bytesRead, Total: l.total, Summary: l.summary})
	}
	return nil
}

// errRefused ends the transaction of an atomic load without a commit.
var errRefused = errors.New("a resource was refused")

// applyAtomic applies the changes of an atomic load, or none of them if anything is refused. Then the
// batch has refusals only.
func (l *loader) applyAtomic(ctx context.Context, b *batch) ([]store.Outcome, error) {
	if len(b.refused) > 0 {
		b.changes, b.accepted = nil, nil
		return nil, nil
	}
	l.summary.Replaced = b.keepLast()
	held, err := l.hold(ctx, b)
	if err != nil {
		return nil, err
	}
	outcomes, err := l.Directory.ApplyAll(ctx, b.changes, func(outcomes []store.Outcome) error {
		b.settle(held, outcomes)
		if len(b.refused) > 0 {
			return errRefused
		}
		return nil
	})
	if errors.Is(err, errRefused) {
		for n := range b.refused {
			r := &b.refused[n]
			if r.change = -1; r.Stored == NowHidden {
				r.Stored = StillServed
			}
		}
		b.changes, b.accepted, l.summary.Replaced = nil, nil, 0
		return nil, nil
	}
	if len(outcomes) == 0 {
		l.summary.Replaced = 0
	}
	return outcomes, err
}

// keepLast removes the changes that a later one of the same resource replaces, and returns how many.
// No reader could see the state between them.
func (b *batch) keepLast() (replaced int64) {
	type name struct {
		t  fhir.Type
		id string
	}
	last := make(map[name]int, len(b.changes))
	for n := range b.changes {
		last[name{b.changes[n].Type, b.changes[n].ID}] = n
	}
	replaced = int64(len(b.changes) - len(last))
	changes, accepted := b.changes[:0], b.accepted[:0]
	for n := range b.accepted {
		of := b.accepted[n]
		c := b.changes[of.change]
		if last[name{c.Type, c.ID}] != of.change {
			continue
		}
		of.change = len(changes)
		changes, accepted = append(changes, c), append(accepted, of)
	}
	b.changes, b.accepted = changes, accepted
	return replaced
}
