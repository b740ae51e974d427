package flow

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"muster/internal/testkit"
	"muster/internal/testkit/pgtest"
)

// TestPausedServer pauses a server on SQLite during its work for longer than its lease.
// No other server may start meanwhile. When it continues, the export has the bytes of an
// undisturbed one.
func TestPausedServer(t *testing.T) {
	t.Parallel()
	p := newDeployment(t)
	p.load(t, practitioners(t, 2000, "Still"))
	undisturbed := p.serve(t, "", "--part-bytes", "40000")
	want := files(t, undisturbed.wait(undisturbed.kickOff(everyPractitioner)))
	undisturbed.Kill()

	s := p.serve(t, "export.part.written@3=stop", "--part-bytes", "40000", "--lease", "1s", "--workers", "3", "--sweep-every", "200ms")
	status := s.kickOff(everyPractitioner)
	if err := s.WaitStopped(); err != nil {
		t.Fatal(err)
	}
	if out, err := muster.Run("serve", "--data", p.data, "--listen", "localhost:0"); err == nil || !strings.Contains(out, "being served by another process") {
		t.Errorf("a second server beside a paused one: %v, %s", err, out)
	}
	time.Sleep(2 * time.Second) // longer than the lease; there is no event to wait for
	if err := s.Continue(); err != nil {
		t.Fatal(err)
	}
	wantFiles(t, files(t, s.wait(status)), want)
	s.noOrphans(p.data, 2*len(want))
}

// TestLateServer pauses one of two servers on one database during its work. The other one
// claims the work when the lease expires, and completes the job. The first server then
// continues where it was, without a visible effect.
func TestLateServer(t *testing.T) {
	for _, point := range []string{
		"directory.snapshot.pinned", // inside the gate: the database ends its transaction
		"export.selecting", "export.selected", "blob.created", "export.part.page",
		"export.part.written", "blob.rename", "blob.renamed", "export.part.committed",
	} {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			database := pgtest.Database(t)
			p, other := newDeployment(t), newDeployment(t)
			if _, err := muster.Run("load", "--database", database, practitioners(t, 2000, "Late")); err != nil {
				t.Fatal(err)
			}
			// Both have the same base URL and the same folder of files.
			args := []string{"--data", p.data, "--database", database, "--base-url", "http://" + p.address + "/fhir",
				"--part-bytes", "40000", "--sweep-every", "200ms"}
			late := startServer(t, p.address, point+"=stop", append(args, "--lease", "1s")...)
			status := late.kickOff(everyPractitioner)
			if err := late.WaitStopped(); err != nil {
				t.Fatal(err)
			}
			next := startServer(t, other.address, "", args...)
			_, query, _ := strings.Cut(status, "?")
			statusAtNext := next.Base + "/$export-poll-status?" + query
			before := next.wait(statusAtNext)
			want := files(t, via(next, before))
			if n := bytes.Count(bytes.Join(want, nil), []byte("\n")); n != 2000 {
				t.Errorf("%d resources, want 2000", n)
			}

			if err := late.Continue(); err != nil {
				t.Fatal(err)
			}
			late.logs("the lease of this work was lost")
			next.noOrphans(p.data, len(want))
			after := late.wait(status)
			if after.TransactionTime != before.TransactionTime {
				t.Errorf("the transaction time changed from %s to %s", before.TransactionTime, after.TransactionTime)
			}
			wantFiles(t, files(t, after), want)
		})
	}
}

// via returns a manifest whose files are downloaded from the server s.
func via(s server, m testkit.Manifest) testkit.Manifest {
	for n := range m.Output {
		_, file, _ := strings.Cut(m.Output[n].URL, "/Binary/")
		m.Output[n].URL = s.Base + "/Binary/" + file
	}
	return m
}

// startServer starts a server at an address; it ends with the test.
func startServer(t *testing.T, address, point string, args ...string) server {
	t.Helper()
	s, err := muster.StartServer(address, point, args...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.Kill()
		if t.Failed() {
			t.Logf("log of the server at %s:\n%s", address, s.Log())
		}
	})
	if err := s.Ready(); err != nil {
		t.Fatal(err)
	}
	return server{s, t}
}

// logs waits until the server has logged the text.
func (s server) logs(text string) {
	s.t.Helper()
	for deadline := time.Now().Add(testkit.Patience); !strings.Contains(s.Log(), text); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.t.Fatalf("the server never logged %q", text)
		}
	}
}

func wantFiles(t *testing.T, got, want [][]byte) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d files, want %d", len(got), len(want))
	}
	for n := range want {
		if !bytes.Equal(got[n], want[n]) {
			t.Errorf("file %d differs", n+1)
		}
	}
}
