package export

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"muster/internal/damage"
	"muster/internal/failpoint"
	"muster/internal/oserror"
	"muster/internal/store"
	"muster/internal/store/sqlite"
	"muster/internal/testkit"
)

// countingObserver counts the events of [Observer]. A client may see the end of a job
// before the observer is called: stop the service before reading it.
type countingObserver struct {
	mu sync.Mutex
	n  map[string]int64
}

func newObserver() *countingObserver { return &countingObserver{n: map[string]int64{}} }

func (o *countingObserver) add(what string, n int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.n[what] += n
}

func (o *countingObserver) all() map[string]int64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return maps.Clone(o.n)
}

func (o *countingObserver) PartWritten(resources, bytes, stored int64) {
	o.add("parts", 1)
	o.add("resources", resources)
	o.add("bytes", bytes)
	o.add("stored", stored)
}
func (o *countingObserver) JobEnded(state store.State)     { o.add("ended "+string(state), 1) }
func (o *countingObserver) Removed(what string, n int)     { o.add("removed "+what, int64(n)) }
func (o *countingObserver) Damaged(kind damage.Kind)       { o.add("damaged "+string(kind), 1) }
func (o *countingObserver) SelectionInterrupted(by string) { o.add("interrupted by "+by, 1) }

func failWith(number syscall.Errno, at string) error {
	return &fs.PathError{Op: "write", Path: at, Err: number}
}

// TestFullDiskWhileWriting fills the disk at each place where bytes are written. The job
// is retried and then fails with the reason, no files remain, and when there is space
// again the next job completes.
func TestFullDiskWhileWriting(t *testing.T) {
	for _, c := range []struct {
		point  string
		number syscall.Errno
		reason string
	}{
		{"blob.created", syscall.ENOSPC, oserror.ClientDiskFull}, {"blob.write", syscall.ENOSPC, oserror.ClientDiskFull}, {"blob.sync", syscall.EIO, oserror.ClientDiskFailed},
		{"blob.rename", syscall.ENOSPC, oserror.ClientDiskFull}, {"blob.renamed", syscall.EROFS, oserror.ClientDiskReadOnly},
	} {
		t.Run(fmt.Sprint(c.point, " ", c.number), func(t *testing.T) {
			observed := newObserver()
			var log testkit.Log
			b := newFixture(t, func(config *Config) {
				config.Observer, config.Logger = observed, slog.New(slog.NewTextHandler(&log, nil))
			})
			b.fill(20)
			var tries atomic.Int64
			disarm := failpoint.Arm(c.point, func(context.Context) error {
				tries.Add(1)
				return failWith(c.number, "/secret/place")
			})
			defer disarm()
			stop := start(t, b.Service)
			defer stop()
			id := b.kickOff("Practitioner")
			status := b.wait(b.Service, id)
			if status.State != store.Failed || !strings.Contains(status.Reason, c.reason) || strings.Contains(status.Reason, "secret") {
				t.Errorf("state %s with the reason %q, want one that says %q", status.State, status.Reason, c.reason)
			}
			if n := tries.Load(); n < 2 {
				t.Errorf("%d attempts, want more", n)
			}
			if files, _ := filepath.Abs(b.filesDir()); !strings.Contains(log.String(), files) {
				t.Errorf("the log does not name the folder:\n%s", log.String())
			}
			disarm()
			if status := b.wait(b.Service, b.kickOff("Practitioner")); status.State != store.Complete {
				t.Fatalf("with space again: %s %q", status.State, status.Reason)
			}
			stop()
			if got := observed.all(); got["ended failed"] != 1 || got["ended complete"] != 1 || got["resources"] != 20 {
				t.Errorf("observed %v", got)
			}
		})
	}
}

// TestDiskFullTemporarily checks that the failure of one attempt does not fail the job.
func TestDiskFullTemporarily(t *testing.T) {
	b := newFixture(t, nil)
	b.fill(20)
	var tries atomic.Int64
	defer failpoint.Arm("blob.write", func(context.Context) error {
		if tries.Add(1) == 1 {
			return failWith(syscall.ENOSPC, "x")
		}
		return nil
	})()
	defer start(t, b.Service)()
	id := b.kickOff("Practitioner")
	if status := b.wait(b.Service, id); status.State != store.Complete || status.Total != 20 {
		t.Errorf("state %s with %d resources, reason %q", status.State, status.Total, status.Reason)
	}
	b.download(id)
}

// TestJobsDiskFull fills the disk that holds jobs.db, so that no state can be stored.
// Reads are answered, a kick-off is rejected with the reason, and when there is space
// again the job completes or fails with that reason, and does not hang.
func TestJobsDiskFull(t *testing.T) {
	t.Attr("requirements", "PO-12")
	b := newFixture(t, func(c *Config) { c.PollLimit = PollEnforce })
	b.fill(20)
	id := b.kickOff("Practitioner")
	full := atomic.Bool{}
	full.Store(true)
	refusals := make(chan struct{}, 1000)
	defer failpoint.Arm("jobs.commit", func(context.Context) error {
		if !full.Load() {
			return nil
		}
		select {
		case refusals <- struct{}{}:
		default:
		}
		return failWith(syscall.ENOSPC, "jobs.db")
	})()
	defer start(t, b.Service)()
	for range 10 { // claims that could not be stored
		<-refusals
	}
	if status, err := b.Poll(t.Context(), id); err != nil || status.State != store.Accepted {
		t.Errorf("a poll meanwhile: %v, %v", status.State, err)
	}
	var explained *oserror.Error
	if _, err := b.KickOff(t.Context(), b.request(nil, "Practitioner")); !errors.As(err, &explained) || explained.Reason() != oserror.ClientDiskFull {
		t.Errorf("a kick-off meanwhile: %v", err)
	}
	full.Store(false)
	b.clock.Add(time.Minute)
	if status := b.wait(b.Service, id); status.State != store.Complete {
		t.Errorf("with space again: %s %q", status.State, status.Reason)
	}
}

// TestUnreportedFailure fails the work while the store cannot record the failure: the
// next claim reports the real reason, and not that a worker has disappeared.
func TestUnreportedFailure(t *testing.T) {
	b := newFixture(t, func(c *Config) { c.Workers, c.PartBytes = 1, 1<<20 })
	b.fill(20)
	id := b.kickOff("Practitioner")
	var space atomic.Bool
	space.Store(true)
	written := make(chan struct{}, 100)
	defer failpoint.Arm("blob.write", func(context.Context) error {
		space.Store(false) // the failure cannot be recorded
		written <- struct{}{}
		return failWith(syscall.ENOSPC, "files")
	})()
	defer failpoint.Arm("jobs.commit", func(context.Context) error {
		if space.Load() {
			return nil
		}
		return failWith(syscall.ENOSPC, "jobs.db")
	})()
	defer start(t, b.Service)()
	for range 3 { // attempts, of which the store records only the claim
		<-written
		b.clock.Add(10 * time.Second) // the lease ends
		space.Store(true)
	}
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) {
		job, err := b.jobs.Job(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if job.State == store.Failed {
			if !strings.Contains(job.Reason, oserror.ClientDiskFull) {
				t.Errorf("the reason is %q, want one that names the disk", job.Reason)
			}
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the job is still %s", job.State)
		}
	}
}

// TestLostFile removes a file of a complete export from the disk.
func TestLostFile(t *testing.T) {
	t.Attr("requirements", "RE-09")
	b := newFixture(t, nil)
	b.fill(2)
	defer start(t, b.Service)()
	id := b.kickOff("Practitioner")
	b.wait(b.Service, id)
	parts, err := b.jobs.Parts(t.Context(), id)
	if err != nil || len(parts) == 0 {
		t.Fatal(parts, err)
	}
	if err := b.files.Remove(t.Context(), parts[0].Object); err != nil {
		t.Fatal(err)
	}
	_, err = b.OpenFile(t.Context(), parts[0].File)
	if !errors.Is(err, ErrFileLost) || !strings.Contains(err.Error(), parts[0].Object) || !strings.Contains(err.Error(), b.filesDir()) {
		t.Errorf("a file that is gone: %v", err)
	}
}

// filesDir returns the folder of the blobs.
func (b *fixture) filesDir() string {
	return filepath.Join(b.Store.(*sqlite.Store).Dir(), sqlite.FilesFolder)
}
