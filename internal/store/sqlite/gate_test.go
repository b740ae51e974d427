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
	"muster/internal/store"
	"muster/internal/store/storetest"
)

func TestGateExcludes(t *testing.T) {
	g := gate{dir: t.TempDir()}
	var mu sync.Mutex // guards inside, and is not held between its two changes
	inside := 0
	done := make(chan int)
	for range 8 {
		go func() {
			maximum := 0
			for range 50 {
				release, err := g.acquire(t.Context())
				if err != nil {
					t.Error(err)
					break
				}
				mu.Lock()
				inside++
				maximum = max(maximum, inside)
				mu.Unlock()
				runtime.Gosched()
				mu.Lock()
				inside--
				mu.Unlock()
				release()
			}
			done <- maximum
		}()
	}
	for range 8 {
		if maximum := <-done; maximum > 1 {
			t.Errorf("%d goroutines held the gate at once", maximum)
		}
	}
}

// TestGateIsFair releases the gate and acquires it again at once, as a loader does, while
// another goroutine waits. The waiting goroutine must be next.
func TestGateIsFair(t *testing.T) {
	g := gate{dir: t.TempDir()}
	for range 20 {
		release, err := g.acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		order := make(chan string, 2)
		waits := make(chan struct{})
		finished := make(chan struct{})
		go func() {
			defer close(finished)
			close(waits)
			release, err := g.acquire(t.Context())
			if err != nil {
				t.Error(err)
				return
			}
			order <- "waiting"
			release()
		}()
		<-waits
		waitForTurnstile(t, g)
		release()
		if release, err = g.acquire(t.Context()); err != nil {
			t.Fatal(err)
		}
		order <- "again"
		release()
		<-finished
		if first := <-order; first != "waiting" {
			t.Fatal("the goroutine that released the gate acquired it again before the one that waited")
		}
	}
}

// waitForTurnstile waits until a goroutine holds the turnstile. It only tries the lock: a
// cancelled wait would briefly hold the turnstile itself.
func waitForTurnstile(t *testing.T, g gate) {
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
			t.Fatal("no goroutine acquired the turnstile")
		}
	}
}

func TestGateIsCancelled(t *testing.T) {
	g := gate{dir: t.TempDir()}
	release, err := g.acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	reason := errors.New("cancelled by the test")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(reason)
	for range 3 {
		if _, err := g.acquire(ctx); !errors.Is(err, reason) {
			t.Errorf("error %v, want the cause", err)
		}
	}
	release()
	again, err := g.acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	again()
}

// TestApplyIsAtomic stops a transaction before its commit. No part of it may be stored, and
// the writer must forget the ids of its names.
func TestApplyIsAtomic(t *testing.T) {
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
	if err := s.reads.QueryRowContext(t.Context(), `SELECT count(*) FROM name`).Scan(&names); err != nil || names != 4 {
		t.Errorf("%d names, %v; want 4", names, err)
	}
}
