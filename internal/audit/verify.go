package audit

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"time"
)

// Report is what a verification has found.
type Report struct {
	Files      int       `json:"files"`
	Events     int64     `json:"events"`               // in the chain, notices included
	Older      int64     `json:"older,omitempty"`      // lines of an older version, before the chain
	Removed    int64     `json:"removed,omitempty"`    // events before the oldest file that is left
	From       time.Time `json:"from,omitzero"`        // time of the first event
	Head       Head      `json:"head"`                 // the last event
	Repairs    int       `json:"repairs,omitempty"`    // incomplete lines that were cut off
	Lost       int64     `json:"lost,omitempty"`       // events that could not be written
	Incomplete int64     `json:"incomplete,omitempty"` // bytes of a last line that is not complete: it is being written, or its server was killed
}

// HeadError means that a noted head is not in the log.
type HeadError struct {
	Hash   string
	Report Report // of the log as it is
}

// Error implements error.
func (e *HeadError) Error() string {
	r := e.Report
	if r.Events == 0 {
		return fmt.Sprintf("the head %s is not in the log, which is empty: events were removed", e.Hash)
	}
	return fmt.Sprintf("the head %s is not in the log, which has the events %d to %d: if the number that was noted with it is not less than %[2]d, events were removed or changed",
		e.Hash, r.Removed+1, r.Head.Event)
}

// Verify checks the chain of the log at path: its rotated files, compressed or not, and the file
// itself, which a server may write to meanwhile. A path of a rotated file means that file alone. The
// oldest files may be missing, as retention removes them.
//
// It returns a [*BreakError] for the first line that is not what muster has written after the line
// before, and a [*HeadError] if noted, a hash that was noted earlier, is neither the hash of an event
// nor that of the last event before the oldest file. An empty noted is not checked. Events that were
// removed from the end are noticed only with a noted head. The report has what was found until the
// error.
func Verify(ctx context.Context, path, noted string) (Report, error) {
	files, err := openLog(path)
	if err != nil {
		return Report{}, fmt.Errorf("open audit log: %w", err)
	}
	defer files.close()
	v := verifier{noted: noted, found: noted == "", report: Report{Files: len(files)}}
	for n, f := range files {
		v.file, v.newest = f, n == len(files)-1
		err := f.each(func(l line) error {
			if err := ctx.Err(); err != nil {
				return err
			}
			return v.line(l)
		})
		if err != nil {
			return v.report, err
		}
		v.previous = f
	}
	return v.report, v.end(path)
}

// verifier follows a chain.
type verifier struct {
	noted  string
	found  bool
	report Report

	file, previous *logFile
	newest         bool // no file follows
	lines          bool // there was a line before
	hash           string
}

// record is what a verification reads of a line.
type record struct {
	Time time.Time `json:"time"`
	Log  Notice    `json:"log"`
}

// line checks a line.
func (v *verifier) line(l line) error {
	if !l.complete && v.newest {
		v.report.Incomplete = int64(len(l.text))
		return nil
	}
	link, linked := parseLink(l.text)
	if chained := v.report.Events > 0; !chained && !linked {
		v.report.Older++
		v.lines, v.hash = true, hashOf(l.text)
		return nil
	}
	var r record
	switch err := json.Unmarshal(l.text, &r); {
	case !l.complete:
		return v.broken(l, "the line is not complete: its end, and the lines after it, were removed")
	case !linked:
		return v.broken(l, "the line does not have the hash of the line before: it was inserted or changed, or written by an older version of muster")
	case err != nil:
		return v.broken(l, fmt.Sprintf("the line is not an event (%v): it was changed", err))
	}
	if reason := v.follows(l, link, r.Log.Kind); reason != "" {
		return v.broken(l, reason)
	}
	v.add(l, link, r)
	return nil
}

func (v *verifier) broken(l line, reason string) error {
	return &BreakError{v.file.path, l.number, reason}
}

// follows returns why a line does not follow the lines before, or "" if it does.
func (v *verifier) follows(l line, link link, kind NoticeKind) string {
	if v.report.Events == 0 {
		return v.begins(link, kind)
	}
	switch last := v.report.Head.Event; {
	case link.n > last+1:
		return fmt.Sprintf("%s missing before event %d%s", eventsAre(last+1, link.n-1), link.n, v.between(l))
	case link.n <= last:
		return fmt.Sprintf("event %d follows event %d: lines were inserted, or their order was changed", link.n, last)
	case link.prev != v.hash:
		return fmt.Sprintf("the hash of the line before does not match: event %d or %d was changed", last, link.n)
	}
	return ""
}

// begins returns why a line is not the first one of the chain, or "" if it is.
func (v *verifier) begins(link link, kind NoticeKind) string {
	switch {
	case kind == Begun && link.n == 1 && (!v.lines || link.prev == v.hash):
		return ""
	case kind == Begun && link.n == 1:
		return "the chain does not begin after the line before: lines before it were inserted, changed or removed"
	case kind == Continued && !v.lines:
		return "" // retention has removed the files before
	}
	return fmt.Sprintf("event %d is not the beginning of a file: lines before it were removed or changed", link.n)
}

// between names the files between which events are missing.
func (v *verifier) between(l line) string {
	if l.number > 1 || v.previous == nil {
		return ""
	}
	return fmt.Sprintf(": a file between %s and %s, or the end of the first one, was removed", filepath.Base(v.previous.path), filepath.Base(v.file.path))
}

func eventsAre(from, to int64) string {
	if from == to {
		return fmt.Sprintf("event %d is", from)
	}
	return fmt.Sprintf("events %d to %d are", from, to)
}

// add adds a line to the report.
func (v *verifier) add(l line, link link, r record) {
	if v.report.Events == 0 {
		v.report.From, v.report.Removed = r.Time, link.n-1
		v.found = v.found || v.noted == link.prev
	}
	v.hash, v.lines = hashOf(l.text), true
	v.found = v.found || v.noted == v.hash
	v.report.Events++
	v.report.Head = Head{Event: link.n, Hash: v.hash, Time: r.Time}
	switch r.Log.Kind {
	case Repaired:
		v.report.Repairs++
	case Lost:
		v.report.Lost += int64(r.Log.Events)
	}
}

// end checks what only the whole log shows.
func (v *verifier) end(path string) error {
	if v.report.Events == 0 && v.report.Older > 0 {
		return fmt.Errorf("%s has no chain: an older version of muster has written it, or all hashes were removed", path)
	}
	if !v.found {
		return &HeadError{v.noted, v.report}
	}
	return nil
}
