package sqlite

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"muster/internal/filelock"
	"muster/internal/regularfile"
	"muster/internal/store"
)

// holder is the process that acquired a lock of the gate. A lock file holds it as text, which
// is overwritten by each process that acquires the lock, so that a holder that makes progress
// changes. The text remains when the lock is released.
type holder struct {
	pid   int
	since int64 // nanoseconds since 1970
}

// holderForm is the text of a lock file. It has a fixed length, so that it is overwritten in
// place, also on a full disk.
const holderForm = "%010d %020d\n"

// mark writes this process into a lock file that it has locked. The lock counts, not the text:
// without room on the disk there is none.
func mark(f *os.File) {
	if _, err := f.WriteAt(fmt.Appendf(nil, holderForm, os.Getpid(), time.Now().UnixNano()), 0); err != nil {
		_ = f.Truncate(0)
	}
}

// readHolder returns the text of a lock file, the zero value if it has none.
func readHolder(f *os.File) (h holder) {
	text := make([]byte, len(fmt.Sprintf(holderForm, 0, 0)))
	n, _ := f.ReadAt(text, 0)
	pid, since, _ := strings.Cut(strings.TrimSpace(string(text[:n])), " ")
	var err1, err2 error
	h.pid, err1 = strconv.Atoi(pid)
	h.since, err2 = strconv.ParseInt(since, 10, 64)
	if err1 != nil || err2 != nil {
		return holder{}
	}
	return h
}

// blocker returns the process that others wait for: the one that holds the gate or, if the gate
// is free, the one that holds the turnstile, which was suspended while it waited. held is false
// if both are free. It creates nothing.
func (g gate) blocker() (h holder, held bool, err error) {
	for _, file := range []string{gateFile, turnstileFile} {
		if h, held, err = lockedBy(filepath.Join(g.dir, file)); held || err != nil {
			return h, held, err
		}
	}
	return holder{}, false, nil
}

// lockedBy returns the process that holds the lock of a file.
func lockedBy(path string) (h holder, held bool, err error) {
	f, err := regularfile.OpenOwn(path, os.O_RDONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return holder{}, false, nil
	}
	if err != nil {
		return holder{}, false, err
	}
	defer f.Close()
	free, err := filelock.Try(f, filelock.Shared)
	return readHolder(f), !free && err == nil, err
}

// stall returns what is known about a holder that makes no progress.
func (h holder) stall(since time.Duration) store.GateStall {
	s := store.GateStall{For: since, Remedy: "find the process that has gate.lock open, such as with lsof, and continue it or end it"}
	if h.pid == 0 {
		return s
	}
	s.Holder, s.Since = fmt.Sprintf("process %d", h.pid), time.Unix(0, h.since)
	s.Remedy = fmt.Sprintf("if it is suspended, continue it with kill -CONT %d; if it hangs, end it with kill -KILL %[1]d and run it again. Committed data are safe", h.pid)
	if h.pid == os.Getpid() {
		s.Holder += " (this process)"
		s.Remedy = "check whether the disk of the data directory hangs; if not, restart this process. Committed data are safe"
	}
	return s
}

// watchInterval is how often a process that waits for the gate looks at its holder.
const watchInterval = time.Second

// watcher notices that the gate makes no progress while a goroutine waits for it.
type watcher struct {
	gate  gate
	known holder
	at    time.Time // when it was first seen
}

// look reports the holder if it is the same for too long: since it was first seen, or since it
// acquired the lock, which may have been before this goroutine began to wait.
func (w *watcher) look(now time.Time) {
	h, held, err := w.gate.blocker()
	if !held || err != nil || h != w.known || w.at.IsZero() {
		w.known, w.at = h, now
		return
	}
	same := now.Sub(w.at)
	if h.pid != 0 {
		same = max(same, now.Sub(time.Unix(0, h.since)))
	}
	if same >= w.gate.stallAfter() {
		w.gate.stalls.Stalled(h.stall(same), now)
	}
}

// ReportStalls sets a function that is called as [store.Options].GateStalled is, while
// Freeze waits for the gate.
func (i *Inspection) ReportStalls(report func(store.GateStall)) { i.stalls.Report = report }

// StalledGate implements store.Inspector.
func (i *Inspection) StalledGate(ctx context.Context) (store.GateStall, bool, error) {
	return gate{dir: i.dir}.stalled(ctx, time.Now)
}

// secondLook is the time after which a holder is looked at again: it may have acquired the lock
// just now, and not written the file yet.
const secondLook = 100 * time.Millisecond

// stalled reports whether a process holds the gate for too long.
func (g gate) stalled(ctx context.Context, now func() time.Time) (store.GateStall, bool, error) {
	first, held, err := g.blocker()
	age := now().Sub(time.Unix(0, first.since))
	if err != nil || !held || first.pid == 0 || age < g.stallAfter() {
		return store.GateStall{}, false, err
	}
	select {
	case <-ctx.Done():
		return store.GateStall{}, false, context.Cause(ctx)
	case <-time.After(secondLook):
	}
	second, held, err := g.blocker()
	if err != nil || !held || second != first {
		return store.GateStall{}, false, err
	}
	return first.stall(age), true, nil
}
