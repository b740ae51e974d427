package audit

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"muster/internal/regularfile"
)

// Options configures a [File]. Zero values select the defaults.
type Options struct {
	// MegaBytes is the size at which the file is rotated. Defaults to 100.
	MegaBytes int
	// Backups is the number of rotated files that are kept. Defaults to 10.
	Backups int
	// Retention is how long events are kept at least, if Backups and MegaBytes allow it. A
	// rotated file is removed when all its events are older. Zero means that only the number
	// of files counts.
	Retention time.Duration
	// RemovedEarly is called with the number of rotated files that were removed because of
	// Backups, although they had events younger than Retention. Optional.
	RemovedEarly func(files int)
	// Logger logs lost events. Defaults to slog.Default.
	Logger *slog.Logger
	// Lost is called for each event that could not be written. Optional.
	Lost func()
}

// File is an audit log in a file. Safe for concurrent use.
type File struct {
	options Options
	path    string

	mu             sync.Mutex
	out            rotatingWriter
	head           Head        // of the chain
	size           int64       // bytes of the complete lines of the file
	torn           bool        // bytes of an incomplete line may follow them
	cutOff         *Notice     // of what Open has cut off; nil when it is written
	buffer         []byte      // lines that are written; kept to allocate none for each event
	began          time.Time   // time of the first event of the file
	sweeper        *time.Timer // runs sweep
	ended          bool        // Close was called
	lost           int         // events lost since the last successful write
	lossLogged     time.Time   // when the loss was last logged
	rotationLogged time.Time   // when a rotation that failed was last logged
	now            func() time.Time
	expired        func(time.Duration) <-chan time.Time // sends after a time

	refusedMu sync.Mutex // guards the fields below
	singles   singles
	refused   map[string]*summary // by client, not written yet
	closed    bool
	after     func(time.Duration, func()) // calls a function later
}

// rotatingWriter writes to a file until it is rotated.
type rotatingWriter interface {
	io.WriteCloser
	Truncate(size int64) error
	Rotate() error
	Remove(backup) error
}

// Open opens the log at path, and continues its chain. It creates the file if it does not exist, but
// not its folder. If the last line is not complete, as after a crash, it is cut off, which is logged
// and recorded in the log itself.
func Open(path string, o Options) (*File, error) { return openAt(path, o, time.Now) }

// openAt is Open with another clock.
func openAt(path string, o Options, now func() time.Time) (*File, error) {
	if o.MegaBytes <= 0 {
		o.MegaBytes = DefaultMegaBytes
	}
	if o.Backups <= 0 {
		o.Backups = DefaultBackups
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if err := checkWritable(path); err != nil {
		return nil, fmt.Errorf("open audit log: %w: name a writable file with --audit-log, or set --audit-log off", err)
	}
	out := &rotatingFile{path: path, now: now, log: o.Logger}
	f, err := resumeOn(out, path, o, now)
	if err != nil {
		return nil, err
	}
	out.compress()
	f.sweeper = time.AfterFunc(sweepInterval, f.sweep)
	return f, nil
}

// resumeOn continues the log at path on its open file. It starts no work in the background.
func resumeOn(out rotatingWriter, path string, o Options, now func() time.Time) (*File, error) {
	after := func(d time.Duration, f func()) { time.AfterFunc(d, f) }
	f := &File{options: o, path: path, now: now, expired: time.After, after: after, out: out}
	if err := f.resume(); err != nil {
		return nil, fmt.Errorf("open audit log: %w", err)
	}
	return f, nil
}

// checkWritable reports at the start an error that would otherwise occur with the first
// request.
func checkWritable(path string) error {
	if _, err := os.Stat(filepath.Dir(path)); err != nil {
		return err // the library would create the folder, even after a typing error
	}
	f, err := regularfile.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}

// Record writes the event. It reports no error: the package documentation says how lost
// events are handled.
func (f *File) Record(e Event) {
	e.Time = e.Time.UTC().Truncate(time.Millisecond)
	line, err := encode(e)
	f.mu.Lock()
	defer f.mu.Unlock()
	if err == nil {
		err = f.write(line, e.Time)
	}
	if err != nil {
		f.countLoss(err)
	}
}

// write writes an event, after the notices that are due. Without an event, it writes only those.
func (f *File) write(event []byte, at time.Time) error {
	if err := f.cut(); err != nil {
		return err
	}
	now := f.now().UTC().Truncate(time.Millisecond)
	if f.isFull(len(event)+maxLink) || f.isOld(now) {
		f.rotate(now)
	}
	b := batch{head: f.head, lines: f.buffer[:0]}
	for _, notice := range f.notices() {
		line, err := encode(noticeEvent{now, notice})
		if err != nil {
			return err
		}
		b.add(line, now)
	}
	if event != nil {
		b.add(event, at)
	}
	f.buffer = b.lines
	if len(b.lines) == 0 {
		return nil
	}
	if err := f.appendLines(b.lines); err != nil {
		return err
	}
	f.written(b, now)
	return nil
}

// notices returns the notices that are due before the next event.
func (f *File) notices() (due []Notice) {
	switch {
	case f.head.Event == 0:
		due = append(due, Notice{Kind: Begun})
	case f.size == 0:
		due = append(due, Notice{Kind: Continued})
	}
	if f.cutOff != nil {
		due = append(due, *f.cutOff)
	}
	if f.lost > 0 {
		due = append(due, Notice{Kind: Lost, Events: f.lost})
	}
	return due
}

// appendLines writes lines, all or none. If the disk is full in the middle of them, the part that was
// written is cut off, at once or before the next lines.
func (f *File) appendLines(lines []byte) error {
	n, err := f.out.Write(lines)
	if err == nil && n < len(lines) {
		err = io.ErrShortWrite
	}
	if err != nil {
		f.torn = true
		_ = f.cut() // an error is that of the next write
	}
	return err
}

// cut cuts off what follows the complete lines.
func (f *File) cut() error {
	if !f.torn {
		return nil
	}
	err := f.out.Truncate(f.size)
	f.torn = err != nil
	return err
}

// written notes that lines were written.
func (f *File) written(b batch, now time.Time) {
	if f.size == 0 {
		f.began = now
	}
	f.size += int64(len(b.lines))
	f.head, f.cutOff = b.head, nil
	if f.lost > 0 {
		f.options.Logger.Warn("audit log writable again", "file", f.path, "events_lost", f.lost)
		f.lost, f.lossLogged = 0, time.Time{}
	}
}

// logHead writes the head of the chain to the server's log. A log that was changed or cut later does
// not have it any more.
func (f *File) logHead(why string) {
	if f.head.Event > 0 {
		f.options.Logger.Info("audit log head", "file", f.path, "event", f.head.Event, "hash", f.head.Hash, "time", f.head.Time.UTC().Format(time.RFC3339Nano), "reason", why)
	}
}

// lossLogInterval is the interval between two log lines about lost events.
const lossLogInterval = time.Minute

// countLoss counts a lost event and logs it.
func (f *File) countLoss(err error) {
	f.lost++
	if f.options.Lost != nil {
		f.options.Lost()
	}
	f.logUnwritable(err)
}

// logUnwritable logs that the log cannot be written, at most once a minute.
func (f *File) logUnwritable(err error) {
	if now := f.now(); f.lossLogged.IsZero() || now.Sub(f.lossLogged) >= lossLogInterval {
		f.lossLogged = now
		f.options.Logger.Error("audit log cannot be written: free space on its disk, or make the file writable", "file", f.path, "events_lost", f.lost, "error", err)
	}
}

// compressionWait is how long Close waits for the compression of a rotated file.
const compressionWait = 5 * time.Second

// Close writes the events of refused requests, logs the head of the chain and closes the file. It
// waits for a few seconds for the compression of a rotated file. One that takes longer ends with the
// process, and the file stays as it is until the log is opened again.
func (f *File) Close() error {
	f.closeRefused()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ended {
		return nil
	}
	if f.lost > 0 || f.cutOff != nil { // their notices are still due
		if err := f.write(nil, time.Time{}); err != nil {
			f.logUnwritable(err)
		}
	}
	f.logHead("end")
	f.ended = true
	f.sweeper.Stop()
	closed := make(chan error, 1)
	go func() { closed <- f.out.Close() }()
	select {
	case err := <-closed:
		return err
	case <-f.expired(compressionWait):
		f.options.Logger.Warn("the compression of a rotated audit log was given up: the next start compresses it", "file", f.path)
		return nil
	}
}
