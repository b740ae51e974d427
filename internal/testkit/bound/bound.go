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

// The sizes that Linear compares. Work in proportion to the size takes as long for the large
// size as for [parts] times the small one; work in proportion to its square takes 16 times as
// long. The limit is between the two.
const (
	smallSize, parts = 500, 16
	maxRatio         = 5
	leastTime        = 2 * time.Millisecond // differences below it mean nothing
)

// Linear checks that the time of work does not grow faster than its size. prepare returns the
// work of a size: what n repeated elements or parameters cost. Linear does not depend on the
// speed of the machine: it compares times, on Linux those that this thread has used, and
// measures again if a busy machine has disturbed them.
func Linear(t testing.TB, prepare func(n int) (work func())) {
	t.Helper()
	defer startTimeout()()
	small, large := prepare(smallSize), prepare(parts*smallSize)
	small16, once := Timeout, Timeout
	for range 5 {
		small16 = min(small16, timeOf(func() {
			for range parts {
				small()
			}
		}))
		once = min(once, timeOf(large))
		if once < maxRatio*max(small16, leastTime) {
			return
		}
	}
	t.Errorf("work of the size %d takes %v, and %d times a size of %d %v: its cost grows faster than its size", parts*smallSize, once, parts, smallSize, small16)
}

// timeOf returns the time of work.
func timeOf(work func()) time.Duration {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before := used()
	work()
	return used() - before
}

var start = time.Now()

// sinceStart returns the time since the start of the program.
func sinceStart() time.Duration { return time.Since(start) }
