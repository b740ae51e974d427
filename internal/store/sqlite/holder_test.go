package sqlite

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"muster/internal/failpoint"
	"muster/internal/store"
)

// stalling returns a gate that reports stalls after a few milliseconds.
func stalling(t *testing.T) (g gate, stalls <-chan store.GateStall) {
	t.Helper()
	reported := make(chan store.GateStall, 100)
	return gate{
		dir: t.TempDir(), after: 20 * time.Millisecond, every: time.Millisecond,
		stalls: &store.StallReporter{Report: func(s store.GateStall) { reported <- s }},
	}, reported
}

// wait acquires the gate in a goroutine, releases it and closes the channel.
func (g gate) wait(t *testing.T) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		release, err := g.acquire(t.Context())
		if err != nil {
			t.Error(err)
			return
		}
		release()
	}()
	return done
}

// TestStalledHolder holds the gate while two goroutines wait, one of them for the turnstile.
// The holder of the gate is reported, not the one of the turnstile, and then that it makes
// progress again.
func TestStalledHolder(t *testing.T) {
	g, stalls := stalling(t)
	release, err := g.acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	first := g.wait(t)
	waitForTurnstile(t, g)
	waiting := make(chan struct{}, 10)
	disarm := failpoint.Arm("directory.gate.waiting", func(context.Context) error { waiting <- struct{}{}; return nil })
	second := g.wait(t)
	<-waiting // the second one, or still the first
	disarm()
	stall := <-stalls
	if want := fmt.Sprintf("process %d", os.Getpid()); !strings.Contains(stall.Holder, want) || time.Since(stall.Since) > time.Hour || stall.For < g.after {
		t.Errorf("reported %+v, want %s", stall, want)
	}
	if text := stall.Text(); !strings.Contains(text, "holds the write gate since") || !strings.Contains(text, "restart this process") {
		t.Errorf("text %q", text)
	}
	release()
	<-first
	<-second
	last := stall
	for len(stalls) > 0 { // on a busy machine the first one is reported to the second, too
		last = <-stalls
	}
	if last != (store.GateStall{}) {
		t.Errorf("after the end: %+v", last)
	}
}

// TestStalledTurnstile holds the turnstile, as a process does that was suspended while it
// waited. The gate itself is free.
func TestStalledTurnstile(t *testing.T) {
	g, stalls := stalling(t)
	leave, err := gate{dir: g.dir}.lockFile(t.Context(), filepath.Join(g.dir, turnstileFile))
	if err != nil {
		t.Fatal(err)
	}
	done := g.wait(t)
	if stall := <-stalls; !strings.Contains(stall.Holder, fmt.Sprint(os.Getpid())) {
		t.Errorf("reported %+v", stall)
	}
	leave()
	<-done
}

// TestProgressIsNoStall looks at the holder as a waiting process does, over an hour in which it
// changes every 29 seconds, and then does not. A process that begins to wait later reports it at
// once.
func TestProgressIsNoStall(t *testing.T) {
	g, stalls := stalling(t)
	g.after = store.GateStallAfter
	w := watcher{gate: g}
	now := time.Now()
	look := func(d time.Duration) { now = now.Add(d); w.look(now) }
	for range 100 {
		release, err := g.acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		now = time.Now()
		look(time.Second)
		look(28 * time.Second)
		release()
	}
	if len(stalls) > 0 {
		t.Errorf("reported %+v", <-stalls)
	}
	release, err := g.acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	now = time.Now()
	look(0)
	for range 121 { // it is reported after 30, 90 and 150 seconds
		look(time.Second)
	}
	look(30 * time.Second)
	if len(stalls) != 3 {
		t.Errorf("%d reports, want 3", len(stalls))
	}
	g.stalls = &store.StallReporter{Report: g.stalls.Report}
	w = watcher{gate: g}
	look(0)
	look(time.Second)
	if len(stalls) != 4 {
		t.Errorf("%d reports, want one from a process that begins to wait late", len(stalls)-3)
	}
}

// TestStalledGateIsFound checks what an inspection finds: a holder for longer than half a
// minute, and nothing else.
func TestStalledGateIsFound(t *testing.T) {
	dir := t.TempDir()
	g := gate{dir: dir}
	later := func(d time.Duration) func() time.Time { return func() time.Time { return time.Now().Add(d) } }
	find := func(now func() time.Time, want bool) {
		t.Helper()
		if stall, stalled, err := g.stalled(t.Context(), now); err != nil || stalled != want || stalled && !strings.Contains(stall.Holder, fmt.Sprint(os.Getpid())) {
			t.Errorf("stalled %v, %+v, %v; want %v", stalled, stall, err, want)
		}
	}
	find(later(time.Hour), false) // the gate was never held
	if files, err := os.ReadDir(dir); err != nil || len(files) > 0 {
		t.Errorf("an inspection created %v, %v", files, err)
	}
	release, err := g.acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	find(time.Now, false)
	find(later(time.Minute), true)
	release()
	find(later(time.Minute), false)
}

// TestRemovedGateFile removes the file of the gate while a goroutine waits for it. The goroutine
// must lock the file that others lock from then on.
func TestRemovedGateFile(t *testing.T) {
	g := gate{dir: t.TempDir()}
	path := filepath.Join(g.dir, gateFile)
	release, err := g.acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	acquired, goOn := make(chan struct{}), make(chan struct{})
	waits := make(chan struct{}, 10)
	disarm := failpoint.Arm("directory.gate.waiting", func(context.Context) error { waits <- struct{}{}; return nil })
	go func() {
		release, err := g.acquire(t.Context())
		if err != nil {
			t.Error(err)
			close(acquired)
			return
		}
		close(acquired)
		<-goOn
		release()
	}()
	<-waits
	disarm()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	release()
	<-acquired
	if _, held, err := lockedBy(path); err != nil || !held {
		t.Errorf("the file of the gate is locked: %v, %v", held, err)
	}
	close(goOn)
}
