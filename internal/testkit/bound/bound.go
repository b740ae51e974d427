// Package bound limits the time and the memory of code under test. In a fuzz test, an input
// that exceeds a limit is a finding.
package bound

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"testing"
	"time"
)

// Timeout is the time that one input may take. It is long, so that busy machines do not
// cause failures.
const Timeout = 5 * time.Minute

// Limits limits the bytes that the code may allocate for one input: Base, plus PerByte for
// each byte of the input. Freed bytes count too.
type Limits struct{ Base, PerByte uint64 }

// Run calls f for an input of size bytes and checks the limits. If f does not return within
// [Timeout], the program ends with the stacks of all goroutines, which the fuzzer reports
// with the input.
func (l Limits) Run(t testing.TB, size int, f func()) {
	t.Helper()
	defer startTimeout()()
	before := allocated()
	f()
	if used, limit := allocated()-before, l.Base+l.PerByte*uint64(size); used > limit {
		t.Errorf("an input of %d bytes allocated %d bytes of memory; the limit is %d", size, used, limit)
	}
}

// Peak calls f and checks that the heap never grows by more than limit bytes, garbage
// included. It applies [Timeout] as [Limits.Run] does.
func Peak(t testing.TB, limit uint64, f func()) {
	t.Helper()
	defer startTimeout()()
	runtime.GC() // frees the garbage of earlier code
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
	if grown := <-highest - before; grown > limit {
		t.Errorf("the heap grew by %d bytes; the limit is %d", grown, limit)
	}
}

// startTimeout starts a timer that ends the program unless stop is called within [Timeout].
func startTimeout() (stop func()) {
	timer := time.AfterFunc(Timeout, func() {
		debug.SetTraceback("all")
		panic("an input takes longer than " + Timeout.String())
	})
	return func() { timer.Stop() }
}

// allocated returns the bytes that the program has allocated since its start.
func allocated() uint64 { return read("/gc/heap/allocs:bytes") }

// heap returns the size of the objects on the heap, including unswept garbage.
func heap() uint64 { return read("/memory/classes/heap/objects:bytes") }

// read returns the value of a runtime metric.
func read(name string) uint64 {
	sample := []metrics.Sample{{Name: name}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}
