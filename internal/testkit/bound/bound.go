// Package bound holds code under test within a time and an amount of memory, for
// fuzzing: an input that takes longer, or more, is a finding.
package bound

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"testing"
	"time"
)

// Patience is how long one input may take. It is far more than any needs, for machines
// that are busy with other things.
const Patience = 5 * time.Minute

// Limits is what one input may take: Base bytes of memory and PerByte for each of its own,
// counted as they are allocated, whether they are freed or not.
type Limits struct{ Base, PerByte uint64 }

// Run calls f for an input of size bytes. When f does not return in time the program
// ends with the stacks of all goroutines, which the fuzzer reports with the input.
func (l Limits) Run(t testing.TB, size int, f func()) {
	t.Helper()
	defer inTime()()
	before := allocated()
	f()
	if used, may := allocated()-before, l.Base+l.PerByte*uint64(size); used > may {
		t.Errorf("an input of %d bytes took %d bytes of memory, and may take %d", size, used, may)
	}
}

// Peak calls f, which may allocate as much as it likes but not hold it: the heap may
// never grow by more than most bytes, garbage included. The same time as for [Limits.Run] holds.
func Peak(t testing.TB, most uint64, f func()) {
	t.Helper()
	defer inTime()()
	runtime.GC() // what others have left is not this input's
	before := heap()
	done, highest := make(chan struct{}), make(chan uint64)
	go func() {
		peak := before
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		for {
			peak = max(peak, heap())
			select {
			case <-done:
				highest <- max(peak, heap())
				return
			case <-tick.C:
			}
		}
	}()
	f()
	close(done)
	if grown := <-highest - before; grown > most {
		t.Errorf("the heap grew by %d bytes, and may grow by %d", grown, most)
	}
}

// inTime ends the program when the function that it returns is not called in time.
func inTime() (stop func()) {
	hang := time.AfterFunc(Patience, func() {
		debug.SetTraceback("all")
		panic("an input takes longer than " + Patience.String())
	})
	return func() { hang.Stop() }
}

// allocated returns the bytes that the program has allocated since its start.
func allocated() uint64 { return read("/gc/heap/allocs:bytes") }

// heap returns the bytes of the objects on the heap, dead ones that were not swept too.
func heap() uint64 { return read("/memory/classes/heap/objects:bytes") }

func read(name string) uint64 {
	sample := []metrics.Sample{{Name: name}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}
