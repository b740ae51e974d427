package sqlite

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"muster/internal/failpoint"
	"muster/internal/fhir"
	"muster/internal/search/plan"
	"muster/internal/store"
	"muster/internal/store/storetest"
)

func TestGateExcludes(t *testing.T) {
	g := gate{dir: t.TempDir()}
	var mu sync.Mutex // of the count, not of the work
	inside := 0
	done := make(chan int)
	for range 8 {
		go func() {
			most := 0
			for range 50 {
				leave, err := g.enter(t.Context())
				if err != nil {
					t.Error(err)
					break
				}
				mu.Lock()
				inside++
				most = max(most, inside)
				mu.Unlock()
				runtime.Gosched()
				mu.Lock()
				inside--
				mu.Unlock()
				leave()
			}
			done <- most
		}()
	}
	for range 8 {
		if most := <-done; most > 1 {
			t.Errorf("%d were inside at once", most)
		}
	}
}

// TestGateIsFair has one that leaves and wants to enter again at once, as a
// loader does, and one that waits: the waiting one is next.
func TestGateIsFair(t *testing.T) {
	g := gate{dir: t.TempDir()}
	for range 20 {
		leave, err := g.enter(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		order := make(chan string, 2)
		waits := make(chan struct{})
		finished := make(chan struct{})
		go func() {
			defer close(finished)
			close(waits)
			leave, err := g.enter(t.Context())
			if err != nil {
				t.Error(err)
				return
			}
			order <- "waiting"
			leave()
		}()
		<-waits
		inTurnstile(t, g)
		leave()
		if leave, err = g.enter(t.Context()); err != nil {
			t.Fatal(err)
		}
		order <- "again"
		leave()
		<-finished
		if first := <-order; first != "waiting" {
			t.Fatal("the one that left came in again before the one that waited")
		}
	}
}

// inTurnstile returns when somebody stands in the turnstile. It only tries the
// lock and never waits for it: a turn that is given up would stand in the
// turnstile itself for a moment.
func inTurnstile(t *testing.T, g gate) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; {
		f, err := os.OpenFile(filepath.Join(g.dir, turnstileFile), os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		free, err := tryLock(f)
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		if !free {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("nobody came to the turnstile")
		}
	}
}

func TestGateGivesUpWithTheContext(t *testing.T) {
	g := gate{dir: t.TempDir()}
	leave, err := g.enter(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	reason := errors.New("no more patience")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(reason)
	for range 3 {
		if _, err := g.enter(ctx); !errors.Is(err, reason) {
			t.Errorf("error %v, want the cause", err)
		}
	}
	leave()
	again, err := g.enter(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	again()
}

// TestApplyIsWhole stops a batch before its commit: nothing of it may stay, and
// the names that it numbered must not be remembered.
func TestApplyIsWhole(t *testing.T) {
	s := openTest(t, t.TempDir(), time.Now)
	broken := errors.New("broken")
	disarm := failpoint.Arm("directory.apply.commit", func(context.Context) error { return broken })
	outcomes, err := s.Apply(t.Context(), storetest.Changes(5))
	disarm()
	if !errors.Is(err, broken) || len(outcomes) != 0 {
		t.Errorf("outcomes %v, error %v", outcomes, err)
	}
	if counts, err := s.Counts(t.Context()); err != nil || len(counts) != 0 {
		t.Errorf("counts %v, %v; want nothing", counts, err)
	}
	if outcomes, err = s.Apply(t.Context(), storetest.Changes(5)); err != nil || outcomes[4] != store.Created {
		t.Errorf("outcomes %v, error %v", outcomes, err)
	}
	var names int
	if err := s.readers.QueryRowContext(t.Context(), `SELECT count(*) FROM name`).Scan(&names); err != nil || names != 4 {
		t.Errorf("%d names, %v; want 4", names, err)
	}
}

func TestSelectHasADeadline(t *testing.T) {
	s, err := Open(t.Context(), t.TempDir(), Options{Create: &testInfo, Deadline: time.Nanosecond})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	snap, err := s.OpenSnapshot(t.Context(), func(context.Context, fhir.Instant) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	defer snap.Close()
	err = snap.Select(t.Context(), plan.Plan{Type: fhir.Location, Root: plan.And{}}, func(store.RowKey, int64) error { return nil })
	if err == nil || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v, want one that names the deadline", err)
	}
}
