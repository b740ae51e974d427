package export

import (
	"bytes"
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

	"muster/internal/failpoint"
	"muster/internal/oserror"
	"muster/internal/store"
	"muster/internal/store/sqlite"
)

// tally is an observer that a test reads. Whoever polls may learn that a job has ended
// before the observer does: stop the service first, then everything was told.
type tally struct {
	mu sync.Mutex
	n  map[string]int64
}

func newTally() *tally { return &tally{n: map[string]int64{}} }

func (o *tally) add(what string, n int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.n[what] += n
}

func (o *tally) all() map[string]int64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return maps.Clone(o.n)
}

func (o *tally) PartWritten(resources, bytes, stored int64) {
	o.add("parts", 1)
	o.add("resources", resources)
	o.add("bytes", bytes)
	o.add("stored", stored)
}
func (o *tally) JobEnded(state store.State) { o.add("ended "+string(state), 1) }
func (o *tally) Removed(what string, n int) { o.add("removed "+what, int64(n)) }

func refuse(number syscall.Errno, at string) error {
	return &fs.PathError{Op: "write", Path: at, Err: number}
}

// TestFullDiskWhileWriting fills the disk at each place where bytes go out. The job is
// tried again, then it fails and says why; nothing stays on the disk; and when there is
// room the next job works.
func TestFullDiskWhileWriting(t *testing.T) {
	for _, c := range []struct {
		place  string
		number syscall.Errno
		told   string
	}{
		{"blob.created", syscall.ENOSPC, oserror.ClientDiskFull}, {"blob.write", syscall.ENOSPC, oserror.ClientDiskFull}, {"blob.sync", syscall.EIO, oserror.ClientDiskFailed},
		{"blob.rename", syscall.ENOSPC, oserror.ClientDiskFull}, {"blob.renamed", syscall.EROFS, oserror.ClientDiskReadOnly},
	} {
		t.Run(fmt.Sprint(c.place, " ", c.number), func(t *testing.T) {
			observed := newTally()
			var log syncBuffer
			b := newBundle(t, func(config *Config) {
				config.Observer, config.Logger = observed, slog.New(slog.NewTextHandler(&log, nil))
			})
			b.fill(20)
			var tries atomic.Int64
			disarm := failpoint.Arm(c.place, func(context.Context) error {
				tries.Add(1)
				return refuse(c.number, "/secret/place")
			})
			defer disarm()
			stop := start(t, b.Service)
			defer stop()
			id := b.kickOff("Practitioner")
			status := b.wait(b.Service, id)
			if status.State != store.Failed || !strings.Contains(status.Reason, c.told) || strings.Contains(status.Reason, "secret") {
				t.Errorf("state %s with the reason %q, want one that says %q", status.State, status.Reason, c.told)
			}
			if n := tries.Load(); n < 2 {
				t.Errorf("%d attempts, want more", n)
			}
			if files, _ := filepath.Abs(b.filesDir()); !strings.Contains(log.String(), files) {
				t.Errorf("the log does not name the folder:\n%s", log.String())
			}
			disarm()
			if status := b.wait(b.Service, b.kickOff("Practitioner")); status.State != store.Complete {
				t.Fatalf("with room again: %s %q", status.State, status.Reason)
			}
			stop()
			if told := observed.all(); told["ended failed"] != 1 || told["ended complete"] != 1 || told["resources"] != 20 {
				t.Errorf("observed %v", told)
			}
		})
	}
}

// TestDiskThatIsFullForAMoment loses one attempt and no job.
func TestDiskThatIsFullForAMoment(t *testing.T) {
	b := newBundle(t, nil)
	b.fill(20)
	var tries atomic.Int64
	defer failpoint.Arm("blob.write", func(context.Context) error {
		if tries.Add(1) == 1 {
			return refuse(syscall.ENOSPC, "x")
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

// TestFullDiskOfTheJobs fills the disk that holds jobs.db: nobody can be told anything. What
// can be read is answered, a kick-off is refused with the reason, and when there is room the
// job that was at work fails with that reason or completes, but does not hang.
func TestFullDiskOfTheJobs(t *testing.T) {
	t.Attr("requirements", "PO-12")
	b := newBundle(t, func(c *Config) { c.PollLimit = PollEnforce })
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
		return refuse(syscall.ENOSPC, "jobs.db")
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
	b.clock.move(time.Minute)
	if status := b.wait(b.Service, id); status.State != store.Complete {
		t.Errorf("with room again: %s %q", status.State, status.Reason)
	}
}

// TestWhatCouldNotBeSaid lets the work fail while the store cannot be told of it: the next
// claim says the true reason, not that a worker has disappeared.
func TestWhatCouldNotBeSaid(t *testing.T) {
	b := newBundle(t, func(c *Config) { c.Workers, c.PartBytes = 1, 1<<20 })
	b.fill(20)
	id := b.kickOff("Practitioner")
	var room atomic.Bool
	room.Store(true)
	written := make(chan struct{}, 100)
	defer failpoint.Arm("blob.write", func(context.Context) error {
		room.Store(false) // from here on nothing can be told
		written <- struct{}{}
		return refuse(syscall.ENOSPC, "files")
	})()
	defer failpoint.Arm("jobs.commit", func(context.Context) error {
		if room.Load() {
			return nil
		}
		return refuse(syscall.ENOSPC, "jobs.db")
	})()
	defer start(t, b.Service)()
	for range 3 { // attempts, each of which the store hears nothing of but the claim
		<-written
		b.clock.move(10 * time.Second) // the lease ends
		room.Store(true)
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

// TestLostFile takes a file of a finished export away.
func TestLostFile(t *testing.T) {
	t.Attr("requirements", "RE-09")
	b := newBundle(t, nil)
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

// filesDir is where the blobs are.
func (b *bundle) filesDir() string {
	return filepath.Join(b.Store.(*sqlite.Store).Dir(), sqlite.FilesFolder)
}

// syncBuffer is a log that a test may read while the service runs.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
