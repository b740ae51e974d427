package writepath

import (
	"context"
	"time"

	"muster/internal/fhir"
	"muster/internal/store"
)

const (
	// work is how long a batch may work inside the gate before it commits. The commit
	// itself and the last chunk come on top, and all together stay under 250 ms.
	work = 140 * time.Millisecond
	// chunkWork is what one chunk of changes should take. The number of changes in
	// a chunk follows from it: many on a fast disk, few on a slow one.
	chunkWork              = 50 * time.Millisecond
	firstChunk             = 64
	smallChunk, largeChunk = 8, 2048
)

// Apply writes the changes batch by batch: one writes as many as one stay inside the
// gate allows, and at least one. The outcomes of all that is committed are returned
// with an error; the reason why ctx ended stands for whatever the database made of it.
func Apply(ctx context.Context, changes []store.Change, one func(context.Context, []store.Change) ([]store.Outcome, error)) ([]store.Outcome, error) {
	outcomes := make([]store.Outcome, 0, len(changes))
	for len(outcomes) < len(changes) {
		done, err := one(ctx, changes[len(outcomes):])
		outcomes = append(outcomes, done...)
		if cause := context.Cause(ctx); err != nil && cause != nil {
			err = cause // rather than "interrupted"
		}
		if err != nil {
			return outcomes, err
		}
	}
	return outcomes, nil
}

// Pace finds how many changes one chunk should hold. The zero value is ready.
type Pace struct{ chunk int }

// Size is the number of changes in the next chunk.
func (p *Pace) Size() int {
	if p.chunk == 0 {
		p.chunk = firstChunk
	}
	return p.chunk
}

// Adapt doubles or halves the size of the chunks when one of the given size took
// far less or more than it should.
func (p *Pace) Adapt(size int, took time.Duration) {
	switch {
	case took > 2*chunkWork:
		p.chunk = max(smallChunk, p.chunk/2)
	case took < chunkWork/2 && size == p.chunk:
		p.chunk = min(largeChunk, p.chunk*2)
	}
}

// Run takes the changes of one batch chunk by chunk to apply, until the batch has
// worked since start for as long as it may, or comes to the second change of one
// resource. It returns the outcomes of what was applied.
func (p *Pace) Run(start time.Time, changes []store.Change, apply func([]store.Change) ([]store.Outcome, error)) ([]store.Outcome, error) {
	var outcomes []store.Outcome
	changed := seen{}
	for len(outcomes) < len(changes) && time.Since(start) < work {
		chunk := changed.take(changes[len(outcomes):], p.Size())
		if len(chunk) == 0 {
			break
		}
		began := time.Now()
		done, err := apply(chunk)
		if err != nil {
			return nil, err
		}
		outcomes = append(outcomes, done...)
		p.Adapt(len(chunk), time.Since(began))
	}
	return outcomes, nil
}

// seen are the resources that a batch has changed.
type seen map[resourceID]bool

type resourceID struct {
	t  fhir.Type
	id string
}

// take returns the next changes of a batch, up to limit and up to the second change
// of one resource: two versions of one resource never have one commit time.
func (s seen) take(changes []store.Change, limit int) []store.Change {
	for i := range changes {
		r := resourceID{changes[i].Type, changes[i].ID}
		if i == limit || s[r] {
			return changes[:i]
		}
		s[r] = true
	}
	return changes
}

// Horizon is the moment up to which a version must have been committed to be kept
// when it ends, given the transaction times of the live jobs; 0 when none is. Every
// such time was drawn before the batch's, so a version that ends now is needed by
// exactly the jobs whose time is not before its commit: by any, if by the latest.
func Horizon(live []fhir.Instant) (horizon fhir.Instant) {
	for _, t := range live {
		horizon = max(horizon, t)
	}
	return horizon
}
