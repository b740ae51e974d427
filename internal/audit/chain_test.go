package audit

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// writeLog writes a log of several files with some events each, and returns the head that is noted
// after each event, or after the notice before it.
func writeLog(t require, path string, events ...int) (heads []Head) {
	f, err := Open(path, Options{Logger: slog.New(slog.DiscardHandler), Backups: 100})
	t.check(err)
	for n, count := range events {
		if n > 0 {
			f.rotate(f.now())
		}
		for k := range count {
			f.Record(Event{Path: fmt.Sprint("/", n, "/", k), Status: 200, RequestID: strconv.Itoa(k)})
			heads = append(heads, f.head)
		}
	}
	t.check(f.Close())
	return heads
}

// require ends a test of either package if there is an error.
type require struct {
	t interface {
		Helper()
		Fatal(...any)
	}
}

func (r require) check(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

// storedFile is a file of a log with its lines.
type storedFile struct {
	path  string
	lines []string
}

// readLog reads the files of a log, oldest first.
func readLog(t require, path string) (all []*storedFile) {
	files, err := openLog(path)
	t.check(err)
	defer files.close()
	for _, f := range files {
		s := &storedFile{path: f.path}
		t.check(f.each(func(l line) error { s.lines = append(s.lines, string(l.text)); return nil }))
		all = append(all, s)
	}
	return all
}

// store replaces the file.
func (s *storedFile) store(t require) {
	data := []byte(strings.Join(s.lines, ""))
	if strings.HasSuffix(s.path, compressedExtension) {
		var packed bytes.Buffer
		w := gzip.NewWriter(&packed)
		_, err := w.Write(data)
		t.check(errors.Join(err, w.Close()))
		data = packed.Bytes()
	}
	t.check(os.WriteFile(s.path, data, 0o600))
}

// place is a line of one of several files.
type place struct{ file, line int }

// places returns all lines.
func places(files []*storedFile) (all []place) {
	for n, f := range files {
		for k := range f.lines {
			all = append(all, place{n, k})
		}
	}
	return all
}

// TestTampering changes, removes, inserts and exchanges lines of random logs. A verification finds
// each change of a line that is followed by another one, and with a noted head also a log whose last
// lines were removed.
func TestTampering(t *testing.T) {
	t.Attr("requirements", "AD-01")
	dir := t.TempDir()
	logs := 0
	rapid.Check(t, func(t *rapid.T) {
		r := require{t}
		logs++
		folder := filepath.Join(dir, strconv.Itoa(logs))
		r.check(os.Mkdir(folder, 0o700))
		path := filepath.Join(folder, "audit.log")
		heads := writeLog(r, path, rapid.SliceOfN(rapid.IntRange(1, 4), 1, 3).Draw(t, "events")...)
		noted := rapid.SampledFrom(heads).Draw(t, "noted head")
		report, err := Verify(t.Context(), path, noted.Hash)
		r.check(err)
		if report.Head != heads[len(heads)-1] {
			t.Fatalf("the head is %+v, want %+v", report.Head, heads[len(heads)-1])
		}
		files := readLog(r, path)
		all := places(files)
		at := func(label string, last int) (*storedFile, int) {
			p := all[rapid.IntRange(0, last).Draw(t, label)]
			return files[p.file], p.line
		}
		beforeLast := len(all) - 2
		tail := false
		switch op := rapid.SampledFrom([]string{"change", "remove", "insert", "exchange", "file", "tail"}).Draw(t, "tampering"); op {
		case "change":
			f, n := at("line", beforeLast)
			text := []byte(f.lines[n])
			text[rapid.IntRange(0, len(text)-1).Draw(t, "byte")] ^= byte(rapid.IntRange(1, 255).Draw(t, "bits"))
			f.lines[n] = string(text)
		case "remove":
			f, n := at("line", beforeLast)
			f.lines = slices.Delete(f.lines, n, n+1)
		case "insert":
			f, n := at("line", beforeLast+1)
			from, k := at("inserted line", beforeLast+1)
			f.lines = slices.Insert(f.lines, n, from.lines[k])
		case "exchange":
			f, n := at("line", beforeLast+1)
			g, k := at("other line", beforeLast+1)
			if f.lines[n] == g.lines[k] {
				t.Skip("the same line")
			}
			f.lines[n], g.lines[k] = g.lines[k], f.lines[n]
		case "file":
			if len(files) < 3 {
				t.Skip("no file is between two others")
			}
			files[1].lines = nil
			r.check(os.Remove(files[1].path))
			files = slices.Delete(files, 1, 2)
		case "tail":
			tail = true
			n := rapid.IntRange(0, beforeLast).Draw(t, "removed from line")
			for _, p := range all[n+1:] {
				files[p.file].lines = files[p.file].lines[:min(len(files[p.file].lines), p.line)]
			}
		}
		for _, f := range files {
			f.store(r)
		}
		var broken *BreakError
		var missing *HeadError
		switch _, err := Verify(t.Context(), path, heads[len(heads)-1].Hash); {
		case tail && !errors.As(err, &missing):
			t.Fatalf("removed lines at the end with a noted head: %v", err)
		case !tail && !errors.As(err, &broken):
			t.Fatalf("the verification finds %v", err)
		}
	})
}

// TestPlacesOfBreaks checks what a verification says of each kind of change, and where.
func TestPlacesOfBreaks(t *testing.T) {
	t.Attr("requirements", "AD-01")
	for _, c := range []struct {
		name   string
		change func(files []*storedFile)
		line   int64
		want   string
	}{
		{"changed", func(f []*storedFile) { f[2].lines[1] = strings.Replace(f[2].lines[1], "200", "201", 1) }, 3, "event 10 or 11 was changed"},
		{"removed", func(f []*storedFile) { f[2].lines = slices.Delete(f[2].lines, 1, 3) }, 2, "events 10 to 11 are missing before event 12"},
		{"beginning removed", func(f []*storedFile) { f[0].lines = f[0].lines[1:] }, 1, "event 2 is not the beginning of a file"},
		{"end of a file removed", func(f []*storedFile) { f[1].lines = f[1].lines[:2] }, 1, "events 7 to 8 are missing before event 9: a file between "},
		{"inserted", func(f []*storedFile) { f[2].lines = slices.Insert(f[2].lines, 2, f[2].lines[1]) }, 3, "event 10 follows event 10"},
		{"without a hash", func(f []*storedFile) { f[2].lines = slices.Insert(f[2].lines, 1, "{}\n") }, 2, "does not have the hash of the line before"},
		{"before the beginning", func(f []*storedFile) { f[0].lines = slices.Insert(f[0].lines, 0, "{}\n") }, 2, "the chain does not begin after the line before"},
		{"not an event", func(f []*storedFile) { f[2].lines[1] = f[2].lines[1][:100] + "\n" }, 2, "is not an event"},
		{"end of a rotated line removed", func(f []*storedFile) { f[1].lines[3] = f[1].lines[3][:100] }, 4, "the line is not complete"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "audit.log")
			writeLog(require{t}, path, 3, 3, 3)
			files := readLog(require{t}, path)
			c.change(files)
			for _, f := range files {
				f.store(require{t})
			}
			_, err := Verify(t.Context(), path, "")
			var broken *BreakError
			if !errors.As(err, &broken) || broken.Line != c.line || !strings.Contains(broken.Reason, c.want) {
				t.Errorf("the verification finds %v; want line %d and %q", err, c.line, c.want)
			}
		})
	}
}

// TestDamagedCompression checks that a compressed file that cannot be read is a break.
func TestDamagedCompression(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	writeLog(require{t}, path, 3, 3, 3)
	file := readLog(require{t}, path)[1].path
	data, err := os.ReadFile(file)
	require{t}.check(err)
	for _, damaged := range [][]byte{data[:len(data)/2], nil, []byte("no gzip at all"), append(slices.Clone(data[:40]), make([]byte, 100)...)} {
		require{t}.check(os.WriteFile(file, damaged, 0o600))
		var broken *BreakError
		if _, err := Verify(t.Context(), path, ""); !errors.As(err, &broken) {
			t.Errorf("%d bytes: the verification finds %v", len(damaged), err)
		}
	}
}

// TestNotedHeads checks which heads are found, also that of a file that retention has removed.
func TestNotedHeads(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	heads := writeLog(require{t}, path, 2, 2, 2)
	oldest := readLog(require{t}, path)[0].path
	require{t}.check(os.Remove(oldest))
	report := verify(t, path, heads[1].Hash) // logged at the rotation
	if report.Removed != 3 || report.Files != 2 || report.Events != 6 {
		t.Errorf("the verification reports %+v", report)
	}
	var missing *HeadError
	if _, err := Verify(t.Context(), path, heads[0].Hash); !errors.As(err, &missing) || !strings.Contains(err.Error(), "which has the events 4 to 9") {
		t.Errorf("a head of a removed file: %v", err)
	}
	require{t}.check(os.Truncate(path, 0))
	if _, err := Verify(t.Context(), path, heads[5].Hash); !errors.As(err, &missing) {
		t.Errorf("the head of an emptied file: %v", err)
	}
}

// TestClockSetBack checks that the order of rotated files is that of their events.
func TestClockSetBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	now := time.Date(2026, 3, 1, 9, 30, 0, 0, time.UTC)
	f, err := openAt(path, Options{Logger: slog.New(slog.DiscardHandler)}, func() time.Time { return now })
	require{t}.check(err)
	for range 4 {
		f.Record(Event{Time: now})
		f.rotate(now)
		now = now.Add(-time.Hour)
	}
	require{t}.check(f.Close())
	if r := verify(t, path, ""); r.Files != 5 || r.Events != 8 {
		t.Errorf("the verification reports %+v", r)
	}
	require{t}.check(os.Remove(path)) // the end is that of the newest rotated file
	f, err = openAt(path, Options{Logger: slog.New(slog.DiscardHandler)}, func() time.Time { return now })
	require{t}.check(err)
	require{t}.check(f.Close())
	if r := verify(t, path, ""); r.Events != 9 {
		t.Errorf("after a lost file the verification reports %+v", r)
	}
}

// TestOlderLog continues a log of a version without hashes, with a rotated file and a line that is
// not complete.
func TestOlderLog(t *testing.T) {
	t.Attr("requirements", "AD-01")
	dir := t.TempDir()
	path := filepath.Join(dir, "audit.log")
	old := `{"time":"2026-03-01T09:30:00.000Z","requestId":"1","principal":"anonymous","interaction":"read","method":"GET","path":"/","bytes":1,"status":200,"ms":1}` + "\n"
	rotated := &storedFile{filepath.Join(dir, "audit-2026-03-01T09-30-00.000-size.log.gz"), []string{old, "{\"torn\n", old}}
	rotated.store(require{t})
	require{t}.check(os.WriteFile(path, []byte(old+old+old[:40]), 0o600))
	if _, err := Verify(t.Context(), path, ""); err == nil || !strings.Contains(err.Error(), "has no chain") {
		t.Errorf("before it is continued: %v", err)
	}
	for range 2 {
		f, err := Open(path, Options{Logger: slog.New(slog.DiscardHandler)})
		require{t}.check(err)
		f.Record(Event{Path: "/new"})
		require{t}.check(f.Close())
	}
	report := verify(t, path, "")
	if report.Older != 5 || report.Events != 4 || report.Repairs != 1 || report.Head.Event != 4 {
		t.Errorf("the verification reports %+v", report)
	}
	files := readLog(require{t}, path)
	files[1].lines[1] = strings.Replace(files[1].lines[1], "200", "404", 1) // the last line before the chain
	files[1].store(require{t})
	if _, err := Verify(t.Context(), path, ""); err == nil || !strings.Contains(err.Error(), "line 3: the chain does not begin after the line before") {
		t.Errorf("the last line before the chain is changed: %v", err)
	}
}

// TestForeignFile checks that nothing is cut off from a file of another program.
func TestForeignFile(t *testing.T) {
	for _, text := range []string{"notes", "one\ntwo", "one\n"} {
		path := filepath.Join(t.TempDir(), "notes")
		require{t}.check(os.WriteFile(path, []byte(text), 0o600))
		if _, err := Open(path, Options{}); err == nil || !strings.Contains(err.Error(), "is not an audit log: name another file with --audit-log") {
			t.Errorf("%q: %v", text, err)
		}
		if left, err := os.ReadFile(path); err != nil || string(left) != text {
			t.Errorf("%q is now %q, %v", text, left, err)
		}
	}
}

// TestTornLine opens logs whose last line is cut at each byte: complete lines stay, and the repair is
// in the log.
func TestTornLine(t *testing.T) {
	t.Attr("requirements", "AD-01")
	path := filepath.Join(t.TempDir(), "audit.log")
	writeLog(require{t}, path, 3)
	whole, err := os.ReadFile(path)
	require{t}.check(err)
	end := bytes.LastIndexByte(whole[:len(whole)-1], '\n') + 1
	for n := end + 1; n < len(whole); n += 7 {
		torn := whole[end:n]
		require{t}.check(os.WriteFile(path, whole[:n], 0o600))
		if r := verify(t, path, ""); r.Incomplete != int64(len(torn)) || r.Events != 3 {
			t.Fatalf("%d bytes: before the repair the verification reports %+v", n, r)
		}
		var log bytes.Buffer
		f, err := Open(path, Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
		require{t}.check(err)
		f.Record(Event{Path: "/after"})
		require{t}.check(f.Close())
		r := verify(t, path, "")
		lines := readLog(require{t}, path)[0].lines
		if r.Incomplete != 0 || r.Events != 5 || r.Repairs != 1 || strings.Join(lines[:3], "") != string(whole[:end]) {
			t.Fatalf("%d bytes: after the repair the verification reports %+v", n, r)
		}
		if want := fmt.Sprintf(`"log":{"kind":"repaired","bytes":%d,"text":%s}`, len(torn), strings.ReplaceAll(strconv.Quote(string(torn)), `\u003c`, "<")); !strings.Contains(lines[3], want) {
			t.Fatalf("the repair is %s, want %s", lines[3], want)
		}
		if !strings.Contains(log.String(), fmt.Sprintf("bytes=%d after_event=3", len(torn))) {
			t.Fatalf("the server's log has %s", log.String())
		}
	}
}

// killedWriter is the variable that makes this test binary a writer which is killed.
const killedWriter = "MUSTER_TEST_AUDIT_LOG"

// TestKilledWriter kills a process in the middle of a write, again and again: the log is repaired
// when it is opened, and no complete event is lost.
func TestKilledWriter(t *testing.T) {
	t.Attr("requirements", "AD-01")
	if path := os.Getenv(killedWriter); path != "" {
		writeUntilKilled(path)
	}
	path := filepath.Join(t.TempDir(), "audit.log")
	const kills = 8
	for range kills {
		child := exec.Command(os.Args[0], "-test.run=^TestKilledWriter$")
		child.Env = append(os.Environ(), killedWriter+"="+path)
		out, err := child.StdoutPipe()
		require{t}.check(err)
		require{t}.check(child.Start())
		said, err := io.ReadAll(out)
		require{t}.check(err)
		if child.Wait() == nil {
			t.Fatalf("the writer was not killed: %s", said)
		}
		numbers := strings.Fields(string(said))
		last := numbers[len(numbers)-1] // that it knows to be complete
		var found bool
		for _, f := range readLog(require{t}, path) {
			for _, l := range f.lines {
				found = found || strings.Contains(l, `"requestId":"`+last+`"`)
			}
		}
		if !found {
			t.Fatalf("event %s is lost", last)
		}
	}
	f, err := Open(path, Options{Logger: slog.New(slog.DiscardHandler)})
	require{t}.check(err)
	require{t}.check(f.Close())
	if r := verify(t, path, ""); r.Repairs != kills || r.Files < kills/2 {
		t.Errorf("after %d kills the verification reports %+v", kills, r)
	}
}

// writeUntilKilled writes events and their numbers, and kills itself in the middle of one of them.
func writeUntilKilled(path string) {
	f, err := Open(path, Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		panic(err)
	}
	f.out = &suicide{rotatingWriter: f.out, left: 10 + rand.IntN(40)}
	f.rotate(f.now())
	for n := 0; ; n++ {
		id := fmt.Sprint(os.Getpid(), "-", n)
		f.Record(Event{RequestID: id, Path: strings.Repeat("x", rand.IntN(2000))})
		fmt.Println(id)
	}
}

// suicide kills the process in the middle of a write.
type suicide struct {
	rotatingWriter
	left int // writes
}

func (s *suicide) Write(p []byte) (int, error) {
	if s.left--; s.left == 0 {
		_, _ = s.rotatingWriter.Write(p[:1+rand.IntN(len(p)-1)])
		self, _ := os.FindProcess(os.Getpid())
		_ = self.Kill()
		select {}
	}
	return s.rotatingWriter.Write(p)
}

// TestVerifyWhileWriting verifies a log while it is written, rotated, compressed and removed.
func TestVerifyWhileWriting(t *testing.T) {
	t.Attr("requirements", "AD-01")
	f, path := open(t, Options{Backups: 4})
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			default:
			}
			f.Record(Event{Path: strings.Repeat("x", n%3000)})
			if n%300 == 299 {
				f.mu.Lock()
				f.rotate(f.now())
				f.mu.Unlock()
			}
		}
	}()
	removed := int64(0)
	for n := 0; n < 10 || removed == 0; n++ {
		r, err := Verify(t.Context(), path, "")
		if err != nil {
			t.Fatal(err)
		}
		removed = r.Removed
	}
	close(stop)
	<-done
}

// FuzzVerify checks that no text makes a reader or the writer fail, that each event can be written as
// an AuditEvent, and that a log without breaks has none after the writer has continued it. It does
// without the work in the background, whose order would change the coverage from run to run.
func FuzzVerify(f *testing.F) {
	path := filepath.Join(f.TempDir(), "audit.log")
	writeLog(require{f}, path, 3)
	whole, err := os.ReadFile(path)
	require{f}.check(err)
	f.Add(whole)
	f.Add(whole[:len(whole)-20])
	f.Add([]byte("{}\n"))
	f.Add([]byte(`{"n":1,"prev":"","time":"2026-03-01T09:30:00Z","log":{"kind":"begun"}}` + "\n"))
	f.Add([]byte(`{"n":4611686018427387904,"prev":"` + strings.Repeat("0", 64) + `","log":{"kind":"continued"}}` + "\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "audit.log")
		require{t}.check(os.WriteFile(path, data, 0o600))
		before, errBefore := Verify(t.Context(), path, "")
		_, err := Each(t.Context(), path, func(e Entry, text []byte) error {
			_, err := FHIR(e, text)
			return err
		})
		var broken *BreakError
		if err != nil && !errors.As(err, &broken) {
			t.Fatal(err)
		}
		now := func() time.Time { return time.Date(2026, 3, 1, 9, 30, 0, 0, time.UTC) }
		out := &rotatingFile{path: path, now: now, log: slog.New(slog.DiscardHandler)}
		log, err := resumeOn(out, path, Options{MegaBytes: DefaultMegaBytes, Backups: DefaultBackups, Logger: out.log}, now)
		if err != nil {
			return // not a log
		}
		log.Record(Event{Path: "/x"})
		require{t}.check(out.Close())
		after, err := Verify(t.Context(), path, "")
		if errBefore == nil && before.Head.Event < maxNumber/2 && (err != nil || after.Events <= before.Events) {
			t.Errorf("before %+v, after %+v, %v", before, after, err)
		}
	})
}

// BenchmarkRecord measures an event of a search.
func BenchmarkRecord(b *testing.B) {
	f, err := Open(filepath.Join(b.TempDir(), "audit.log"), Options{Logger: slog.New(slog.DiscardHandler)})
	require{b}.check(err)
	defer f.Close()
	e := Event{Time: time.Now(), RequestID: "0b6f8c1e-7d2a-4c55-9a61-3f0e8d2b7c14", Principal: "anonymous", Remote: "192.0.2.7", Interaction: SearchType, Method: "GET",
		Path: "/fhir/Practitioner", Query: "family=Smith&_count=50&_include=PractitionerRole:practitioner", Resources: 50, Bytes: 123456, Status: 200, MS: 3.1}
	b.ReportAllocs()
	for b.Loop() {
		f.Record(e)
	}
}
