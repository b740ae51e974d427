package flow

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"muster/internal/testkit"
	"muster/internal/testkit/pgtest"
)

// TestServerThatStandsStill stops a server on SQLite in the middle of its work for longer
// than its lease. No other may serve meanwhile; when it goes on, the export ends with
// the bytes of an undisturbed one.
func TestServerThatStandsStill(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.load(t, practitioners(t, 2000, "Still"))
	calm := p.serve(t, "", "--part-bytes", "40000")
	want := files(t, calm.wait(calm.kickOff(everyPractitioner)))
	calm.Kill()

	s := p.serve(t, "export.part.written@3=stop", "--part-bytes", "40000", "--lease", "1s", "--workers", "3", "--sweep-every", "200ms")
	status := s.kickOff(everyPractitioner)
	if err := s.WaitStopped(); err != nil {
		t.Fatal(err)
	}
	if out, err := muster.Run("serve", "--data", p.data, "--listen", "localhost:0"); err == nil || !strings.Contains(out, "being served by another process") {
		t.Errorf("a second server beside one that stands still: %v, %s", err, out)
	}
	time.Sleep(2 * time.Second) // beyond the lease: there is no event to wait for
	if err := s.Continue(); err != nil {
		t.Fatal(err)
	}
	wantFiles(t, files(t, s.wait(status)), want)
	s.noOrphans(p.data, 2*len(want))
}

// TestServerThatComesBackLate stops one of two servers on one database in the middle of
// its work. The other one takes the work when the lease is over and finishes the job.
// The first comes back and goes on where it was: nothing of that is seen.
func TestServerThatComesBackLate(t *testing.T) {
	for _, point := range []string{
		"directory.snapshot.pinned", // inside the gate: the database throws it out
		"export.selecting", "export.selected", "blob.created", "export.part.page",
		"export.part.written", "blob.rename", "blob.renamed", "export.part.committed",
	} {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			database := pgtest.Database(t)
			p, other := newPlace(t), newPlace(t)
			if _, err := muster.Run("load", "--database", database, practitioners(t, 2000, "Late")); err != nil {
				t.Fatal(err)
			}
			// Both have one base URL, and one folder of files.
			args := []string{"--data", p.data, "--database", database, "--base-url", "http://" + p.address + "/fhir",
				"--part-bytes", "40000", "--sweep-every", "200ms"}
			late := startServer(t, p.address, point+"=stop", append(args, "--lease", "1s")...)
			status := late.kickOff(everyPractitioner)
			if err := late.WaitStopped(); err != nil {
				t.Fatal(err)
			}
			next := startServer(t, other.address, "", args...)
			_, query, _ := strings.Cut(status, "?")
			elsewhere := next.Base + "/$export-poll-status?" + query
			before := next.wait(elsewhere)
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
				t.Errorf("the transaction time went from %s to %s", before.TransactionTime, after.TransactionTime)
			}
			wantFiles(t, files(t, after), want)
		})
	}
}

// via is a manifest with the files fetched from a server that is not in their URLs.
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
