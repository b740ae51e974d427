package export

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"muster/internal/damage"
	"muster/internal/failpoint"
	"muster/internal/fhir"
	"muster/internal/store"
)

// fakeLog is a log of a size that tests set. It can be truncated unless something keeps it.
type fakeLog struct {
	size      int64
	kept      bool
	truncated int
	failure   error
}

func (l *fakeLog) LogSize() (int64, error) { return l.size, nil }

func (l *fakeLog) LogFailure() error { return l.failure }

func (l *fakeLog) TruncateLog(context.Context) (bool, error) {
	l.truncated++
	if !l.kept {
		l.size = 0
	}
	return !l.kept, nil
}

// TestLogLimit checks that a log beyond its limit ends running selections one after the
// other, the oldest first, and holds others until it is truncated.
func TestLogLimit(t *testing.T) {
	log, interruptions := &fakeLog{size: 100}, 0
	l := &logLimit{log: log, limit: 100, logger: slog.New(slog.DiscardHandler), interrupted: func() { interruptions++ }}
	look := func() {
		t.Helper()
		if err := l.check(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	begin := func(id string) (context.Context, *runningSelection) {
		t.Helper()
		r, err := l.enter(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := r.context(t.Context())
		t.Cleanup(func() { stop(nil) })
		return ctx, r
	}
	old, oldest := begin("old")
	young, youngest := begin("young")
	look()
	if interrupted(old) || interrupted(young) {
		t.Fatal("a selection was interrupted within the limit")
	}
	log.size = 101
	look()
	if !interrupted(old) || interrupted(young) {
		t.Errorf("the oldest ended with %v, the youngest with %v", context.Cause(old), context.Cause(young))
	}
	held, stop := context.WithCancel(t.Context())
	stop()
	if _, err := l.enter(held, "new"); !errors.Is(err, context.Canceled) {
		t.Errorf("a selection began while the log was beyond its limit: %v", err)
	}
	oldest.leave()
	look()
	if !interrupted(young) || log.truncated != 0 {
		t.Errorf("the youngest ended with %v; truncated %d times while it ran", context.Cause(young), log.truncated)
	}
	youngest.leave()
	look()
	_, running := begin("next")
	if log.truncated != 1 || log.size != 0 || interruptions != 2 {
		t.Errorf("truncated %d times, size %d, %d interruptions", log.truncated, log.size, interruptions)
	}
	// A backup keeps the log: selections continue until it has grown by the limit once more.
	running.leave()
	log.size, log.kept = 150, true
	look()
	var next context.Context
	next, running = begin("next")
	for _, size := range []int64{200, 249} {
		log.size = size
		if look(); interrupted(next) {
			t.Errorf("a selection was interrupted at %d, although it does not keep the log", size)
		}
	}
	log.size = 250
	if look(); !interrupted(next) {
		t.Error("no selection was interrupted when the log had grown by its limit once more")
	}
	running.leave()
	log.size, log.kept = 10, false
	look()
	if _, running := begin("last"); running == nil || l.next != 0 {
		t.Errorf("after the backup the limit acts at %d", l.next)
	}
}

// TestLogFailure checks that a log that cannot be moved into the database is reported once, and
// counted if it is damaged, until it can be moved again.
func TestLogFailure(t *testing.T) {
	var text strings.Builder
	log, damages := &fakeLog{}, 0
	l := &logLimit{log: log, logger: slog.New(slog.NewTextHandler(&text, nil)), damaged: func(damage.Kind) { damages++ }}
	damaged := damage.New(damage.Database, "frame 3 is damaged")
	for n, step := range []struct {
		failure error
		log     string // what is logged
		damages int
	}{
		{nil, "", 0},
		{damaged, "frame 3 is damaged", 1},
		{damaged, "", 1},
		{errors.New("the disk is full"), "the disk is full", 1},
		{nil, "again", 1},
		{nil, "", 1},
		{damaged, "frame 3 is damaged", 2},
	} {
		text.Reset()
		log.failure = step.failure
		l.report()
		if got := text.String(); !strings.Contains(got, step.log) || (got == "") != (step.log == "") || damages != step.damages {
			t.Errorf("step %d: logged %q, %d damages", n, got, damages)
		}
	}
}

// growOnce returns a function that lets the log grow when it is first called, and waits until it is
// interrupted. Further calls do nothing.
func growOnce(b **fixture) func(context.Context) error {
	passed := false
	return func(ctx context.Context) error {
		if passed {
			return nil
		}
		passed = true
		(*b).apply(resource(fhir.Endpoint, "grown", "later"))
		<-ctx.Done()
		return context.Cause(ctx)
	}
}

// TestLongLogInterruptsCounts lets the log grow while the numbers of rows are compared. The export
// is begun again and completes, and no slice is used up.
func TestLongLogInterruptsCounts(t *testing.T) {
	observed := newObserver()
	var b *fixture
	grow := growOnce(&b)
	b = newFixture(t, func(c *Config) {
		c.Observer, c.Log, c.LogLimit, c.engine.Slices = observed, c.Store.(store.WriteAheadLog), 1, noSlices
		c.Store = slowCounts{c.Store, grow}
	})
	b.fill(3)
	start(t, b.Service)
	id := b.kickOff("Practitioner")
	if status := b.wait(b.Service, id); status.State != store.Complete || status.Total != 3 {
		t.Fatalf("status %+v", status)
	}
	ended, err := b.jobs.Job(t.Context(), id)
	if n := observed.all()["interrupted by log"]; n != 1 || err != nil || ended.Selected != 0 {
		t.Errorf("%d interruptions were reported, want 1; the job ran for %d ms, %v", n, ended.Selected, err)
	}
}

// TestLongLogInterruptsSelection lets the log grow during a selection. The export is begun
// again and completes, and its slice is not used up.
func TestLongLogInterruptsSelection(t *testing.T) {
	observed := newObserver()
	b := newFixture(t, func(c *Config) {
		c.Observer, c.Log, c.LogLimit, c.engine.Slices = observed, c.Store.(store.WriteAheadLog), 1, []time.Duration{time.Hour}
	})
	b.fill(3)
	t.Cleanup(failpoint.Arm("export.selecting", growOnce(&b)))
	start(t, b.Service)
	id := b.kickOff("Practitioner", "Location")
	if status := b.wait(b.Service, id); status.State != store.Complete || status.Total != 6 {
		t.Fatalf("status %+v", status)
	}
	if n := observed.all()["interrupted by log"]; n != 1 {
		t.Errorf("%d interruptions were reported, want 1", n)
	}
}
