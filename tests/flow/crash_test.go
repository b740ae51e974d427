package flow

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"muster/internal/testkit"
)

// TestKilledInEveryState kills the server at each failpoint of an export, changes the
// directory while the server is down, starts it again, and compares the export with an
// undisturbed one. From writing on, T is fixed: the files have the versions from before
// the change.
func TestKilledInEveryState(t *testing.T) {
	t.Attr("requirements", "MA-01 MA-04 RE-13")
	onBothDatabases(t, testKilledInEveryState)
}

func testKilledInEveryState(t *testing.T, newDeployment func(*testing.T) deployment) {
	before, after := practitioners(t, 2000, "Before"), practitioners(t, 2000, "After")
	for _, c := range []struct {
		point string
		fixed bool // T and the bytes are those from before the crash
	}{
		{"export.accepted", false},
		{"export.selecting", false},
		{"export.selected", false},
		{"export.writing", true},
		{"export.part.page", true},
		{"export.part.page@3", true},
		{"export.part.written", true},
		{"export.part.written@4", true},
		{"export.part.committed", true},
		{"export.part.committed@2", true},
		{"export.finished", true},
	} {
		t.Run(c.point, func(t *testing.T) {
			t.Parallel()
			p := newDeployment(t)
			p.load(t, before)

			undisturbed := p.serve(t, "", "--part-bytes", "40000")
			want := files(t, undisturbed.wait(undisturbed.kickOff(everyPractitioner)))
			if len(want) < 5 {
				t.Fatalf("only %d parts: the test requires at least 5", len(want))
			}
			undisturbed.Kill()

			// The lease outlasts the test: the next server must resume the work of the killed
			// one. On PostgreSQL other servers may exist, so it waits until the lease expires.
			lease := "1h"
			if p.database != "" {
				lease = "1s"
			}
			dying := p.serve(t, c.point, "--part-bytes", "40000", "--lease", lease)
			status, err := dying.KickOff(everyPractitioner)
			if waited := dying.WaitKilled(); waited != nil {
				t.Fatal(waited)
			}
			if err != nil { // it was killed before it responded
				status = dying.Base + "/$export-poll-status?_jobId=" + liveJob(t, p)
			}
			p.load(t, after)

			again := p.serve(t, "", "--part-bytes", "40000", "--sweep-every", "200ms")
			got := files(t, again.wait(status))
			family := "After"
			if c.fixed {
				family = "Before"
				if len(got) != len(want) {
					t.Fatalf("%d parts, want %d", len(got), len(want))
				}
				for n := range want {
					if !bytes.Equal(got[n], want[n]) {
						t.Errorf("part %d differs from that of an undisturbed export", n)
					}
				}
			}
			all := bytes.Join(got, nil)
			if n := bytes.Count(all, []byte(`"family":"`+family+`"`)); n != 2000 {
				t.Errorf("%d resources with the family name %s, want 2000", n, family)
			}
			if n := bytes.Count(all, []byte("\n")); n != 2000 {
				t.Errorf("%d lines, want 2000", n)
			}
			again.noOrphans(p.data, len(want)+len(got))
			if p.database == "" {
				p.verify(t)
			}
		})
	}
}

// TestCancelledStaysCancelled kills the server after a cancel: the job remains cancelled.
func TestCancelledStaysCancelled(t *testing.T) {
	t.Attr("requirements", "DE-01 DE-02 DE-03 PO-09")
	onBothDatabases(t, testCancelledStaysCancelled)
}

func testCancelledStaysCancelled(t *testing.T, newDeployment func(*testing.T) deployment) {
	p := newDeployment(t)
	p.load(t, practitioners(t, 500, "Before"))
	s := p.serve(t, "", "--part-bytes", "40000")
	status := s.kickOff(everyPractitioner)
	req, err := http.NewRequest(http.MethodDelete, status, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusAccepted {
		t.Fatalf("DE-02: DELETE answers %s", resp.Status)
	}
	s.Kill()
	p.serve(t, "")
	resp, err = http.Get(status)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusNotFound {
		t.Errorf("DE-03: a cancelled job answers %s after a restart", resp.Status)
	}
}

// liveJob returns the id of the only live job. A client does not know it if the server
// was killed before it responded to the kick-off.
func liveJob(t *testing.T, p deployment) string {
	t.Helper()
	var id string
	if err := p.jobs(t).QueryRow("SELECT id FROM job WHERE state IN ('accepted', 'selecting', 'writing')").Scan(&id); err != nil {
		t.Fatalf("find the live job: %v", err)
	}
	return id
}

// files downloads all parts of a manifest and checks their counts.
func files(t *testing.T, m testkit.Manifest) [][]byte {
	t.Helper()
	var all [][]byte
	for _, o := range m.Output {
		body := get(t, o.URL)
		if n := bytes.Count(body, []byte("\n")); n != o.Count {
			t.Errorf("MA-04: %s has %d lines, the manifest says %d", o.URL, n, o.Count)
		}
		all = append(all, body)
	}
	return all
}

// noOrphans waits until the janitor has removed all files that no part names.
func (s server) noOrphans(data string, named int) {
	s.t.Helper()
	deadline := time.Now().Add(testkit.Patience)
	for {
		n := 0
		err := filepath.WalkDir(filepath.Join(data, "files"), func(_ string, d os.DirEntry, err error) error {
			if err == nil && !d.IsDir() && !strings.HasPrefix(d.Name(), ".owner") {
				n++
			}
			return err
		})
		if err == nil && n == named {
			return
		}
		if time.Now().After(deadline) {
			s.t.Errorf("%d files, but parts name %d (%v)", n, named, err)
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
}
