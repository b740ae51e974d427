package flow

import (
	"context"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"muster/internal/testkit"
)

// TestOperatorCancels cancels a running export with `muster jobs` while its server runs: the
// next poll gets 404, and when the workers have stopped no file remains. The export is listed
// before and after.
func TestOperatorCancels(t *testing.T) {
	onBothDatabases(t, func(t *testing.T, newDeployment func(*testing.T) deployment) {
		p := newDeployment(t)
		p.load(t, practitioners(t, 20000, "Kept"))
		s := p.serve(t, "", "--part-bytes", "4000", "--sweep-every", "200ms")
		status := s.kickOff(everyPractitioner)
		u, err := url.Parse(status)
		if err != nil {
			t.Fatal(err)
		}
		id := u.Query().Get("_jobId")
		jobs := func(args ...string) string {
			t.Helper()
			out, err := muster.Run(append(append([]string{"jobs"}, p.options()...), args...)...)
			if err != nil {
				t.Fatal(err)
			}
			return out
		}
		eventually := func(what string, reached func() bool) {
			t.Helper()
			for deadline := time.Now().Add(testkit.Patience); !reached(); time.Sleep(time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatalf("not reached: %s", what)
				}
			}
		}
		folder := filepath.Join(p.data, "files", id)
		eventually("the first files are written", func() bool { entries, _ := os.ReadDir(folder); return len(entries) > 2 })
		if out := jobs(); !strings.Contains(out, id+"  writing") {
			t.Errorf("the list before: %s", out)
		}
		if out := jobs(id, "--cancel"); !strings.Contains(out, "is cancelled, and its files are deleted") {
			t.Errorf("cancel: %s", out)
		}
		ctx, stop := context.WithTimeout(t.Context(), testkit.Patience)
		defer stop()
		if _, code, err := testkit.Fetch(ctx, status, nil); err != nil || code != http.StatusNotFound {
			t.Errorf("the next poll: %d, %v, want 404", code, err)
		}
		eventually("no file remains", func() bool {
			entries, err := os.ReadDir(folder)
			return os.IsNotExist(err) || err == nil && len(entries) == 0
		})
		if log := s.Log(); strings.Contains(log, "level=ERROR") {
			t.Errorf("the log has errors:\n%s", log)
		}
		if out := jobs(); !strings.Contains(out, id+"  cancelled") {
			t.Errorf("the list after: %s", out)
		}
		if _, err := muster.Run(append(append([]string{"jobs"}, p.options()...), id, "--cancel")...); err == nil {
			t.Error("an export was cancelled twice")
		}
	})
}
