package audit

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	"muster/internal/regularfile"
)

// resume finds the end of the chain, cuts off an incomplete last line, and writes the notice of it.
func (f *File) resume() error {
	end, err := readEnd(f.path)
	if err != nil {
		return err
	}
	f.size, f.head, f.began, f.torn = end.size, end.head, end.began, end.torn > 0
	if f.size == 0 {
		f.head = f.headOfBackups()
	}
	if f.torn {
		f.cutOff = &Notice{Kind: Repaired, Bytes: end.torn, Text: WithoutTokens(toText(end.text))}
		f.options.Logger.Warn("the last line of the audit log was not complete and is cut off, as after a crash", "file", f.path, "bytes", end.torn, "after_event", f.head.Event)
	}
	if err := f.write(nil, time.Time{}); err != nil { // a log that cannot be written stops no server
		f.logUnwritable(err)
	}
	f.logHead("start")
	return nil
}

func toText(b []byte) string { return string(bytes.ToValidUTF8(b, []byte("�"))) }

// headOfBackups returns the head of the newest rotated file, which an empty log continues. If that
// cannot be read, a new chain begins, and a verification reports it.
func (f *File) headOfBackups() Head {
	files, err := openBackups(f.path)
	if err != nil {
		f.logLostEnd(err)
		return Head{}
	}
	defer files.close()
	if len(files) == 0 {
		return Head{}
	}
	var last []byte
	err = files[len(files)-1].each(func(l line) error {
		last = append(last[:0], l.text...)
		return nil
	})
	if err != nil {
		f.logLostEnd(err)
	}
	return headOf(last)
}

func (f *File) logLostEnd(err error) {
	f.options.Logger.Error("the end of the rotated audit logs cannot be read: a new chain begins", "file", f.path, "error", err)
}

// headOf returns the head after a line. A line of an older version has no number: a chain begins
// after it.
func headOf(text []byte) Head {
	if len(text) == 0 {
		return Head{}
	}
	h := Head{Hash: hashOf(text)}
	if l, ok := parseLink(text); ok {
		h.Event, h.Time = l.n, timeOf(text)
	}
	return h
}

// timeOf returns the time of an event, or the zero time.
func timeOf(text []byte) time.Time {
	var event struct {
		Time time.Time `json:"time"`
	}
	if json.Unmarshal(text, &event) != nil {
		return time.Time{}
	}
	return event.Time
}

// fileEnd is how a file of the log ends.
type fileEnd struct {
	size  int64     // of its complete lines
	head  Head      // after the last one
	torn  int64     // bytes that follow it
	text  []byte    // the first maxText of them
	began time.Time // time of its first event
}

// readEnd reads the end of a file.
func readEnd(path string) (e fileEnd, err error) {
	file, err := regularfile.Open(path)
	if err != nil {
		return e, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return e, err
	}
	if e.size, err = afterNewline(file, info.Size()); err != nil {
		return e, err
	}
	e.torn = info.Size() - e.size
	if e.text, err = readRange(file, e.size, e.size+min(e.torn, maxText)); err != nil {
		return e, err
	}
	if e.size == 0 {
		return e, checkLine(path, e.text)
	}
	from, err := afterNewline(file, e.size-1)
	if err != nil {
		return e, err
	}
	last, err := readRange(file, from, e.size)
	if err != nil {
		return e, err
	}
	if err := checkLine(path, last); err != nil {
		return e, err
	}
	e.head = headOf(last)
	first, err := readRange(file, 0, min(e.size, 256<<10))
	if err != nil {
		return e, err
	}
	if end := bytes.IndexByte(first, '\n'); end >= 0 {
		e.began = timeOf(first[:end])
	}
	if e.began.IsZero() {
		e.began = info.ModTime()
	}
	return e, nil
}

// checkLine returns an error if the last line of a file is not one of a log, not even a part of one or
// the zeros that a power cut leaves. What another program has written is never cut off.
func checkLine(path string, text []byte) error {
	if len(text) == 0 || text[0] == '{' || text[0] == 0 {
		return nil
	}
	return fmt.Errorf("%s is not an audit log: name another file with --audit-log", path)
}

// afterNewline returns the offset after the last newline before an offset, or 0.
func afterNewline(file *os.File, before int64) (int64, error) {
	const step = 64 << 10
	for before > 0 {
		from := max(0, before-step)
		piece, err := readRange(file, from, before)
		if err != nil {
			return 0, err
		}
		if n := bytes.LastIndexByte(piece, '\n'); n >= 0 {
			return from + int64(n) + 1, nil
		}
		before = from
	}
	return 0, nil
}

func readRange(file *os.File, from, to int64) ([]byte, error) {
	piece := make([]byte, to-from)
	_, err := io.ReadFull(io.NewSectionReader(file, from, to-from), piece)
	return piece, err
}
