package job

import (
	"time"

	"muster/internal/store"
)

// Slices are the lengths of the runs of a selection, each longer than the one before. A
// selection cannot be paused, because its snapshot would make the log of the database grow;
// one that has used up its slice is begun again later with the next.
type Slices []time.Duration

// DefaultSlices begin with a short slice: most selections end in it, so a new client waits
// for the first slices of others for a short time only.
var DefaultSlices = Slices{60 * time.Millisecond, 250 * time.Millisecond, time.Second, 4 * time.Second, 16 * time.Second, 64 * time.Second}

// The bounds of the tasks that some of the workers leave to others.
const (
	// longSlice is the length from which slices never occupy all workers.
	longSlice = 4 * time.Second
	// quickSlice is the length from which slices do not run on the quick worker.
	quickSlice = time.Second
	// quickPart is the size of the largest part that the quick worker writes, in bytes of
	// NDJSON. It takes about a tenth of a second.
	quickPart = 8 << 20
)

// Next returns the slice of a selection that has run for some time. It returns false if the
// selection has used up its last slice.
func (s Slices) Next(ran time.Duration) (slice time.Duration, ok bool) {
	for _, slice := range s {
		if ran -= slice; ran < 0 {
			return slice, true
		}
	}
	return 0, false
}

// Long reports whether a selection that has run for some time is next in a slice that never occupies
// all workers, or has used up its last slice.
func (s Slices) Long(ran time.Duration) bool {
	slice, ok := s.Next(ran)
	return slice >= longSlice || !ok
}

// before returns how long a selection has run before its first slice of at least a length.
func (s Slices) before(length time.Duration) (ran time.Duration) {
	for _, slice := range s {
		if slice >= length {
			break
		}
		ran += slice
	}
	return ran
}

// SliceEnd is the error of a selection that was interrupted at the end of its slice, or
// before. The claim ends, and does not count as an attempt.
type SliceEnd struct {
	Ran time.Duration // how long the selection ran; its slice if that was used up
}

// Error implements error.
func (SliceEnd) Error() string { return "the slice of the selection has ended" }

// Slice returns the slice of a claimed selection. It returns false if the selection has used
// up its last slice.
func (c *Claim) Slice() (slice time.Duration, ok bool) { return c.slices.Next(c.ran()) }

// After returns how long the selection of the claim has run in all if it now ran for some
// time, and whether it has a further slice.
func (c *Claim) After(ran time.Duration) (total time.Duration, again bool) {
	total = c.ran() + ran
	_, again = c.slices.Next(total)
	return total, again
}

func (c *Claim) ran() time.Duration { return time.Duration(c.Task.Job.Selected) * time.Millisecond }

// lanes decide which tasks the workers claim. At most places workers run long slices at the
// same time, one fewer than there are workers.
type lanes struct {
	slices Slices
	places chan struct{}
}

func newLanes(slices Slices, workers int) lanes {
	return lanes{slices, make(chan struct{}, max(1, workers-1))}
}

// quick returns the bounds of the quick worker.
func (l lanes) quick() store.Bounds {
	return store.Bounds{Selected: l.slices.before(quickSlice).Milliseconds(), PartBytes: quickPart}
}

// enter returns the bounds of a claim by another worker, and whether that may be of a long
// slice. If so, the worker calls leave when it has done the task, or knows that it is short.
func (l lanes) enter() (within store.Bounds, mayBeLong bool) {
	select {
	case l.places <- struct{}{}:
		return store.Bounds{}, true
	default:
		return store.Bounds{Selected: l.slices.before(longSlice).Milliseconds()}, false
	}
}

func (l lanes) leave() { <-l.places }

// isLong reports whether a task may run for a long slice. A part is not long: others
// wait for one of the parts of a job, not for all.
func (l lanes) isLong(t *store.Task) bool {
	return t.Part == nil && l.slices.Long(time.Duration(t.Job.Selected)*time.Millisecond)
}
