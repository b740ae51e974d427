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

	"github.com/DeRuina/timberjack"
)

// Options are the settings of [Open]. Zero values stand for the defaults named here.
type Options struct {
	MegaBytes int // after which a file is full: 100
	Backups   int // full files that are kept beside it, compressed: 10
	// Logger is told when events are lost: slog.Default.
	Logger *slog.Logger
	// Lost is called for each event that could not be written. Optional.
	Lost func()
}

// File is an audit log in a file. Safe for use by several goroutines.
type File struct {
	options Options
	path    string

	mu   sync.Mutex
	out  io.WriteCloser
	torn bool      // the last write may have left half a line
	lost int       // events since the log could not be written
	told time.Time // when the loss was last logged
	now  func() time.Time
}

// Open opens the log at path, which is made if it is not there. Its folder must be.
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
	if err := tryOpen(path); err != nil {
		return nil, fmt.Errorf("the audit log: %w: name a file that can be written with --audit-log, or say --audit-log off", err)
	}
	return &File{options: o, path: path, now: time.Now, torn: true, out: &timberjack.Logger{
		Filename: path, MaxSize: o.MegaBytes, MaxBackups: o.Backups, FileMode: 0o600, Compression: "gzip",
	}}, nil
}

// tryOpen tells at the start what would else be told with the first request.
func tryOpen(path string) error {
	if _, err := os.Stat(filepath.Dir(path)); err != nil {
		return err // the library would make the folder, wherever a typing error leads
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}

// Record writes the event. It never fails for its caller: see the package story
// for what becomes of an event that cannot be written.
func (f *File) Record(e Event) {
	e.Time = e.Time.UTC().Truncate(time.Millisecond)
	line, err := encode(e)
	f.mu.Lock()
	defer f.mu.Unlock()
	if err == nil {
		err = f.write(line)
	}
	if err != nil {
		f.miss(err)
		return
	}
	if f.lost > 0 {
		f.options.Logger.Warn("the audit log can be written again", "file", f.path, "events_lost", f.lost)
		f.lost, f.told = 0, time.Time{}
	}
}

// encode writes the event as one line.
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
	n, err := f.out.Write(line)
	if err == nil && n < len(line) {
		err = io.ErrShortWrite
	}
	f.torn = err != nil
	return err
}

// endLine ends a line that a full disk, or the end of another process, has cut off.
func (f *File) endLine() error {
	last, err := lastByte(f.path)
	if err != nil || last == '\n' {
		return err
	}
	_, err = f.out.Write([]byte{'\n'})
	return err
}

// lastByte returns the last byte of the file; that of an empty or absent one is an
// end of line.
func lastByte(path string) (byte, error) {
	file, err := os.Open(path)
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

// tellEvery is the pause between two lines in the server's log about lost events.
const tellEvery = time.Minute

// miss counts a lost event and tells of it.
func (f *File) miss(err error) {
	f.lost++
	if f.options.Lost != nil {
		f.options.Lost()
	}
	if now := f.now(); f.told.IsZero() || now.Sub(f.told) >= tellEvery {
		f.told = now
		f.options.Logger.Error("the audit log cannot be written: make room on its disk, or see that the file can be written", "file", f.path, "events_lost", f.lost, "error", err)
	}
}

// Close closes the file.
func (f *File) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.out.Close()
}
