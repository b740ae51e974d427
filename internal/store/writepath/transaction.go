package writepath

import (
	"context"
	"fmt"
	"time"

	"muster/internal/fhir"
	"muster/internal/store"
)

const (
	// transactionTime is how long a transaction writes chunks before it commits. The last
	// chunk and the commit come on top. The sum stays below 250 ms.
	transactionTime = 140 * time.Millisecond
	// chunkTime is how long one chunk should take. The number of changes in a chunk
	// follows from it: many on a fast disk, few on a slow one.
	chunkTime              = 50 * time.Millisecond
	firstChunk             = 64
	smallChunk, largeChunk = 8, 2048
)

// WriteChanges writes the changes in transactions. writeTransaction writes as many of its
// changes as one transaction takes, at least one, and returns their outcomes. After an
// error WriteChanges returns the outcomes of all committed changes. When ctx has ended, the
// error is its cause.
func WriteChanges(ctx context.Context, changes []store.Change, writeTransaction func(context.Context, []store.Change) ([]store.Outcome, error)) ([]store.Outcome, error) {
	outcomes := make([]store.Outcome, 0, len(changes))
	for len(outcomes) < len(changes) {
		committed, err := writeTransaction(ctx, changes[len(outcomes):])
		outcomes = append(outcomes, committed...)
		if cause := context.Cause(ctx); err != nil && cause != nil {
			err = cause // not "interrupted"
		}
		if err != nil {
			return outcomes, err
		}
	}
	return outcomes, nil
}

// ChunkSizer adapts the number of changes in a chunk to the speed of the database. The zero
// value is ready to use.
type ChunkSizer struct{ size int }

// Size returns the number of changes for the next chunk.
func (c *ChunkSizer) Size() int {
	if c.size == 0 {
		c.size = firstChunk
	}
	return c.size
}

// Adapt halves the size after a chunk of n changes that took too long, and doubles it after
// a full chunk that was fast.
func (c *ChunkSizer) Adapt(n int, took time.Duration) {
	switch {
	case took > 2*chunkTime:
		c.size = max(smallChunk, c.size/2)
	case took < chunkTime/2 && n == c.size:
		c.size = min(largeChunk, c.size*2)
	}
}

// WriteChunks writes the changes of one transaction in chunks, at least one. It stops when
// transactionTime has passed since start, before the second change of one resource, or when
// writeChunk says that the transaction ends. It returns the outcomes of the changes that were
// written.
func (c *ChunkSizer) WriteChunks(start time.Time, changes []store.Change, writeChunk func([]store.Change) (outcomes []store.Outcome, last bool, err error)) ([]store.Outcome, error) {
	var outcomes []store.Outcome
	written := resources{}
	for len(outcomes) < len(changes) {
		chunk := written.nextChunk(changes[len(outcomes):], c.Size())
		if len(chunk) == 0 {
			break
		}
		began := time.Now()
		done, last, err := writeChunk(chunk)
		if err != nil {
			return nil, err
		}
		outcomes = append(outcomes, done...)
		c.Adapt(len(chunk), time.Since(began))
		// The time is up only now: on a slow network the statements before the first chunk may
		// have used it up, and a transaction without a chunk would be repeated forever.
		if last || time.Since(start) >= transactionTime {
			break
		}
	}
	return outcomes, nil
}

// ChunkWriter writes as many changes as one transaction takes, in chunks. start is when the
// transaction began. [ChunkSizer.WriteChunks] is one.
type ChunkWriter func(start time.Time, changes []store.Change, writeChunk func([]store.Change) (outcomes []store.Outcome, last bool, err error)) ([]store.Outcome, error)

// AsOne returns the ChunkWriter of a transaction of all changes, which ends with confirm. They are
// one chunk, since what inherits by a chunk may be left for slices, and then the transaction must
// end.
func AsOne(confirm func([]store.Outcome) error) ChunkWriter {
	return func(_ time.Time, changes []store.Change, writeChunk func([]store.Change) ([]store.Outcome, bool, error)) ([]store.Outcome, error) {
		if n := len(resources{}.nextChunk(changes, len(changes))); n < len(changes) {
			return nil, fmt.Errorf("%v/%s is changed twice in one transaction", changes[n].Type, changes[n].ID)
		}
		outcomes, _, err := writeChunk(changes)
		if err != nil {
			return nil, err
		}
		return outcomes, confirm(outcomes)
	}
}

// WriteSlices writes slices of a cascade in one transaction until it is finished or
// transactionTime has passed since start. writeSlice writes at most limit resources, and returns
// how many and whether the cascade is finished.
func (c *ChunkSizer) WriteSlices(start time.Time, writeSlice func(limit int) (finished bool, written int, err error)) (finished bool, err error) {
	for {
		began := time.Now()
		finished, written, err := writeSlice(c.Size())
		if err != nil || finished {
			return finished, err
		}
		c.Adapt(written, time.Since(began))
		if time.Since(start) >= transactionTime {
			return false, nil
		}
	}
}

// resources are the resources that a transaction has written.
type resources map[resourceID]bool

type resourceID struct {
	t  fhir.Type
	id string
}

// nextChunk returns the next changes of a transaction: at most limit, and none of a
// resource that the transaction has written already. Two versions of a resource never have
// the same commit time.
func (written resources) nextChunk(changes []store.Change, limit int) []store.Change {
	for i := range changes {
		r := resourceID{changes[i].Type, changes[i].ID}
		if i == limit || written[r] {
			return changes[:i]
		}
		written[r] = true
	}
	return changes
}

// Horizon returns the latest of the transaction times of the live jobs, 0 if there is none.
// A version that ends now is kept in history if it was committed at or before the horizon:
// each of these times was drawn before the transaction's own, so a job needs the version if
// its time is not before the commit of the version.
func Horizon(live []fhir.Instant) (horizon fhir.Instant) {
	for _, t := range live {
		horizon = max(horizon, t)
	}
	return horizon
}
