package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"muster/internal/regularfile"

	"github.com/DeRuina/timberjack"
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

	mu         sync.Mutex
	out        rotatingWriter
	size       int64       // bytes of the file
	began      time.Time   // time of its first event
	sweeper    *time.Timer // runs sweep
	ended      bool        // Close was called
	torn       bool        // the last line may be truncated
	lost       int         // events lost since the last successful write
	lossLogged time.Time   // when the loss was last logged
	now        func() time.Time
	expired    func(time.Duration) <-chan time.Time // sends after a time

	refusedMu sync.Mutex // guards the fields below
	singles   singles
	refused   map[string]*summary // by client, not written yet
	closed    bool
	after     func(time.Duration, func()) // calls a function later
}

// rotatingWriter writes to a file until it is rotated.
type rotatingWriter interface {
	io.WriteCloser
	Rotate() error
}

// Open opens the log at path. It creates the file if it does not exist, but not its
// folder.
func Open(path string, o Options) (*File, error) {
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
	now := time.Now()
	size, began, err := openedAt(path, now)
	if err != nil {
		return nil, fmt.Errorf("open audit log: %w", err)
	}
	after := func(d time.Duration, f func()) { time.AfterFunc(d, f) }
	f := &File{options: o, path: path, now: time.Now, expired: time.After, after: after, torn: true, size: size, began: began, out: &timberjack.Logger{
		Filename: path, MaxSize: o.MegaBytes, FileMode: 0o600, Compression: "gzip", // the File rotates before that size, and removes files
	}}
	f.sweeper = time.AfterFunc(sweepInterval, f.sweep)
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
		err = f.write(line)
	}
	if err != nil {
		f.countLoss(err)
		return
	}
	if f.lost > 0 {
		f.options.Logger.Warn("audit log writable again", "file", f.path, "events_lost", f.lost)
		f.lost, f.lossLogged = 0, time.Time{}
	}
}

// encode encodes the event as one line.
func encode(e Event) ([]byte, error) {
	var line bytes.Buffer
	encoder := json.NewEncoder(&line)
	encoder.SetEscapeHTML(false) // filters stay readable: Practitioner?a=1&b=2
	err := encoder.Encode(e)
	return line.Bytes(), err
}

func (f *File) write(line []byte) error {
	if f.torn {
		if err := f.endLine(); err != nil {
			return err
		}
	}
	if now := f.now(); f.isFull(len(line)) || f.isOld(now) {
		if err := f.rotate(now); err != nil {
			return err
		}
	}
	if f.size == 0 {
		f.began = f.now()
	}
	n, err := f.out.Write(line)
	f.size += int64(n)
	if err == nil && n < len(line) {
		err = io.ErrShortWrite
	}
	f.torn = err != nil
	return err
}

// endLine ends a line that was truncated by a full disk or a crash.
func (f *File) endLine() error {
	last, err := lastByte(f.path)
	if err != nil || last == '\n' {
		return err
	}
	_, err = f.out.Write([]byte{'\n'})
	return err
}

// lastByte returns the last byte of the file, or a newline if the file is empty or does
// not exist.
func lastByte(path string) (byte, error) {
	file, err := regularfile.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return '\n', nil
	}
	if err != nil {
		return 0, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil || info.Size() == 0 {
		return '\n', err
	}
	var last [1]byte
	_, err = file.ReadAt(last[:], info.Size()-1)
	return last[0], err
}

// lossLogInterval is the interval between two log lines about lost events.
const lossLogInterval = time.Minute

// countLoss counts a lost event and logs it.
func (f *File) countLoss(err error) {
	f.lost++
	if f.options.Lost != nil {
		f.options.Lost()
	}
	if now := f.now(); f.lossLogged.IsZero() || now.Sub(f.lossLogged) >= lossLogInterval {
		f.lossLogged = now
		f.options.Logger.Error("audit log cannot be written: free space on its disk, or make the file writable", "file", f.path, "events_lost", f.lost, "error", err)
	}
}

// compressionWait is how long Close waits for the compression of a rotated file.
const compressionWait = 5 * time.Second

// Close writes the events of refused requests and closes the file. It waits for a few seconds for
// the compression of a rotated file. One that takes longer ends with the process, and the file stays
// as it is until the next rotation.
func (f *File) Close() error {
	f.closeRefused()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ended = true
	f.sweeper.Stop()
	closed := make(chan error, 1)
	go func() { closed <- f.out.Close() }()
	select {
	case err := <-closed:
		return err
	case <-f.expired(compressionWait):
		f.options.Logger.Warn("the compression of a rotated audit log was given up: the next rotation compresses it", "file", f.path)
		return nil
	}
}
