package audit

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func open(t *testing.T, o Options) (*File, string) {
	t.Helper()
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	path := filepath.Join(t.TempDir(), "audit.log")
	f, err := Open(path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f, path
}

// events reads the events of requests in the log, without those of the log itself, and counts the
// lines that are not JSON.
func events(t *testing.T, path string) (all []Event, bad int) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(bytes.NewReader(data))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var e Entry
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			bad++
			continue
		}
		if e.Log.Kind == "" {
			all = append(all, e.Event)
		}
	}
	return all, bad
}

func TestEventsAreLines(t *testing.T) {
	t.Attr("requirements", "AD-01")
	f, path := open(t, Options{})
	at := time.Date(2026, 3, 1, 20, 30, 0, 123456789, time.FixedZone("", 11*3600))
	f.Record(Event{Time: at, Interaction: KickOff, Filters: []string{"Practitioner?family=Sm<ith&a=1"}, Status: 202})
	f.Record(Event{Time: at, Interaction: Poll, Path: "two\nlines", Status: 200})
	all, bad := events(t, path)
	if len(all) != 2 || bad != 0 || all[1].Path != "two\nlines" {
		t.Fatalf("%d events and %d bad lines: %+v", len(all), bad, all)
	}
	text, _ := os.ReadFile(path)
	for _, want := range []string{`"time":"2026-03-01T09:30:00.123Z"`, `Practitioner?family=Sm<ith&a=1`} {
		if !strings.Contains(string(text), want) {
			t.Errorf("%s is not in\n%s", want, text)
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v: others may read the log", info.Mode(), err)
	}
}

func TestSecretsStayOut(t *testing.T) {
	t.Attr("requirements", "AD-02")
	for query, want := range map[string]string{
		"family=Smith&_count=10":             "family=Smith&_count=10",
		"access_token=abc&family=Smith":      "access_token=…&family=Smith",
		"family=Smith&ACCESS_TOKEN=abc":      "family=Smith&ACCESS_TOKEN=…",
		"access%5Ftoken=abc":                 "access%5Ftoken=…",
		"client_assertion=eyJ&client_secret": "client_assertion=…&client_secret",
		"%zz=abc":                            "%zz=…",
		"authorization=Bearer%20abc":         "authorization=…",
		"apikey=abc&code=abc":                "apikey=…&code=…",
		"name=Bearer%20abc.def&family=Smith": "name=Bearer%20…&family=Smith",
		"name=bearer+abc":                    "name=bearer+…",
		"name=Bearer":                        "name=Bearer",
		"identifier=eyJhbGciOiJI.eyJpc3Mi.x": "identifier=…",
		"name=x#access_token=abc":            "name=x#access_token=…",
	} {
		if got := Query(query); got != want {
			t.Errorf("Query(%q) = %q, want %q", query, got, want)
		}
	}
	if got, want := WithoutTokens("/fhir/Organization/o1;access_token=abc"), "/fhir/Organization/o1;access_token=…"; got != want {
		t.Errorf("WithoutTokens: %q, want %q", got, want)
	}
	if got := Query(strings.Repeat("a", maxText+10)); len(got) > maxText+4 {
		t.Errorf("a long query keeps %d bytes", len(got))
	}
}

func TestFullFilesAreRotated(t *testing.T) {
	f, path := open(t, Options{MegaBytes: 1, Backups: 2})
	filler := strings.Repeat("x", 8<<10)
	for range 600 { // some 5 MB
		f.Record(Event{Path: filler})
	}
	if err := f.Close(); err != nil { // waits for the compression
		t.Fatal(err)
	}
	files, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 2 || len(files) > 4 {
		t.Errorf("%d files for 5 MB, with 1 MB each and 2 kept: %v", len(files), files)
	}
	if info, err := os.Stat(path); err != nil || info.Size() > 1<<20 {
		t.Errorf("the log has %v bytes, %v", info, err)
	}
}

// fullDisk is a log file on a disk that, once full, writes half of each line and returns
// ENOSPC.
type fullDisk struct {
	path string
	full bool
}

func (d *fullDisk) Write(p []byte) (int, error) {
	f, err := os.OpenFile(d.path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	if d.full {
		n, _ := f.Write(p[:len(p)/2])
		return n, &os.PathError{Op: "write", Path: d.path, Err: syscall.ENOSPC}
	}
	return f.Write(p)
}

func (d *fullDisk) Close() error { return nil }

func (d *fullDisk) Rotate() error { return nil }

func (d *fullDisk) Remove(backup) error { return nil }

func (d *fullDisk) Truncate(size int64) error { return os.Truncate(d.path, size) }

func TestFullDisk(t *testing.T) {
	t.Attr("requirements", "AD-01")
	var log bytes.Buffer
	lost := 0
	f, path := open(t, Options{Logger: slog.New(slog.NewTextHandler(&log, nil)), Lost: func() { lost++ }})
	now := time.Unix(0, 0)
	f.now = func() time.Time { return now }
	disk := &fullDisk{path: path}
	f.out = disk

	f.Record(Event{Path: "/before"})
	disk.full = true
	for range 5 {
		f.Record(Event{Path: "/lost"})
	}
	if lost != 5 {
		t.Errorf("%d events counted as lost, want 5", lost)
	}
	if n := strings.Count(log.String(), "cannot be written"); n != 1 {
		t.Errorf("the loss was logged %d times, want once a minute:\n%s", n, log.String())
	}
	now = now.Add(lossLogInterval)
	f.Record(Event{Path: "/lost"})
	if n := strings.Count(log.String(), "cannot be written"); n != 2 {
		t.Errorf("the loss was logged %d times after a minute, want 2", n)
	}
	disk.full = false
	f.Record(Event{Path: "/after"})
	all, bad := events(t, path)
	if len(all) != 2 || all[0].Path != "/before" || all[1].Path != "/after" {
		t.Errorf("the log holds %+v", all)
	}
	if bad != 0 {
		t.Errorf("%d lines are not complete", bad)
	}
	if r := verify(t, path, ""); r.Lost != 6 || r.Events != 4 { // begun, two requests, lost
		t.Errorf("the verification reports %+v", r)
	}
	if !strings.Contains(log.String(), "events_lost=6") {
		t.Errorf("the log does not say that the audit log is writable again:\n%s", log.String())
	}
}

// verify verifies a log that is as muster has written it.
func verify(t *testing.T, path, noted string) Report {
	t.Helper()
	r, err := Verify(t.Context(), path, noted)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestOpenWithoutFolder(t *testing.T) {
	_, err := Open(filepath.Join(t.TempDir(), "no", "such", "folder.log"), Options{})
	if !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "--audit-log off") {
		t.Errorf("got %v", err)
	}
}

// TestCloseDuringCompression closes a log whose library compresses a rotated file for long. Close
// returns when the time is up.
func TestCloseDuringCompression(t *testing.T) {
	var log bytes.Buffer
	f, err := Open(filepath.Join(t.TempDir(), "audit.log"), Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	compressing := &compressingFile{rotatingWriter: f.out, done: make(chan struct{})}
	f.out = compressing
	up := make(chan time.Time, 1)
	up <- time.Time{}
	f.expired = func(time.Duration) <-chan time.Time { return up }
	f.Record(Event{RequestID: "1"})
	if err := f.Close(); err != nil || !strings.Contains(log.String(), "compression") {
		t.Errorf("Close: %v; the log has %q", err, log.String())
	}
	close(compressing.done)
}

// compressingFile waits in Close.
type compressingFile struct {
	rotatingWriter
	done chan struct{}
}

func (f *compressingFile) Close() error { <-f.done; return f.rotatingWriter.Close() }
