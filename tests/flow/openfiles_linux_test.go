package flow

import (
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"muster/internal/testkit"

	"golang.org/x/sys/unix"
)

// limitFiles sets how many files a server may have open, and returns the limit before.
func (s server) limitFiles(n uint64) uint64 {
	s.t.Helper()
	var before unix.Rlimit
	if err := unix.Prlimit(s.PID(), unix.RLIMIT_NOFILE, nil, &before); err != nil {
		s.t.Fatal(err)
	}
	if err := unix.Prlimit(s.PID(), unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: n, Max: before.Max}, nil); err != nil {
		s.t.Fatal(err)
	}
	return before.Cur
}

// TestExportWaitsForFiles runs an export while the server cannot open any file. The export waits,
// clients learn why, and it completes when files can be opened again.
func TestExportWaitsForFiles(t *testing.T) {
	onBothDatabases(t, func(t *testing.T, newDeployment func(*testing.T) deployment) {
		t.Parallel()
		p := newDeployment(t)
		p.load(t, practitioners(t, 2000, "Waiting"))
		s := p.serve(t, "", "--part-bytes", "100000")
		before := s.wait(s.kickOff(everyPractitioner))
		file := before.Output[0].URL

		limit := s.limitFiles(3)
		status := s.kickOff(everyPractitioner)
		// More attempts than one that fails may have.
		const message = "too many open files: raise the limit of open files of the process"
		for deadline := time.Now().Add(testkit.Patience); strings.Count(s.Log(), message) < 5; time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("the log does not say that files are missing")
			}
		}
		body, code, err := testkit.Fetch(t.Context(), file, nil)
		if err != nil || code != http.StatusServiceUnavailable || !strings.Contains(string(body), "too many files and connections open") {
			t.Errorf("a download meanwhile: %d, %v: %s", code, err, body)
		}
		s.limitFiles(limit)
		if m := s.wait(status); len(m.Output) != len(before.Output) {
			t.Errorf("%d files, want %d", len(m.Output), len(before.Output))
		}
	})
}

// TestIdleConnectionsWithFewFiles opens more idle connections than the server may have files. An
// export and other clients are not affected.
func TestIdleConnectionsWithFewFiles(t *testing.T) {
	p := newDeployment(t)
	p.load(t, practitioners(t, 2000, "Idle"))
	limited := testkit.Program(writeScript(t, "#!/bin/sh\nulimit -n 256\nexec '"+string(muster)+"' \"$@\"\n"))
	started, err := limited.Serve(p.data, p.address, "", "--part-bytes", "100000", "--client-connections", "0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(started.Kill)
	s := server{started, t}
	if !strings.Contains(s.Log(), "connections=64 ") || !strings.Contains(s.Log(), "open_files=256 ") {
		t.Errorf("the log is %s", s.Log())
	}
	for range 300 {
		c, err := net.Dial("tcp", p.address)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	if m := s.wait(s.kickOff(everyPractitioner)); len(m.Output) < 2 {
		t.Errorf("%d files", len(m.Output))
	}
	if strings.Contains(s.Log(), "too many open files") {
		t.Errorf("files were missing:\n%s", s.Log())
	}
}

// writeScript writes a program and returns its path.
func writeScript(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}
