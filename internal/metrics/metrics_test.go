package metrics

import (
	"context"
	"errors"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"muster/internal/fhir"
	"muster/internal/store"
)

// fakeJobs is a store with the given live jobs, or with an error.
type fakeJobs struct {
	store.Jobs
	live []store.Job
	err  error
}

func (j fakeJobs) Live(context.Context) ([]store.Job, error) { return j.live, j.err }

// long reports whether the next slice of a selection is long.
func long(ran time.Duration) bool { return ran > time.Second }

// fakePool is a pool of memory, of which one client holds a third.
type fakePool struct{}

func (fakePool) Used() int64    { return 900 }
func (fakePool) Largest() int64 { return 300 }

// fakeSearches are searches of which one runs.
type fakeSearches struct{}

func (fakeSearches) SearchLoad() map[string]store.LaneLoad {
	return map[string]store.LaneLoad{"slow": {Running: 1, Waiting: 7}}
}

func scrape(t *testing.T, m *Metrics) string {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler(slog.New(slog.DiscardHandler)).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if w.Code != 200 {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	return w.Body.String()
}

func TestMetrics(t *testing.T) {
	m := New(Build{"1.2.3", "abc", "2026-11-30T01:02:03Z"})
	now := time.UnixMilli(100_000)
	m.WatchJobs(fakeJobs{live: []store.Job{
		{State: store.Accepted, Created: 90_000, Progress: 90_000},
		{State: store.Accepted, Created: 95_000, Progress: 95_000},
		{State: store.Selecting, Created: 95_000, Progress: 95_000, Lease: 101_000, Selected: 1000},
		{State: store.Selecting, Created: 95_000, Progress: 95_000, Selected: 2000},
		{State: store.Writing, Created: 40_000, Progress: 98_000, Lease: 101_000},
	}}, func() time.Time { return now }, long)
	m.WatchPool("memory", fakePool{})
	m.WatchSearches(fakeSearches{})
	m.WatchMembers(fakeMembers{})
	m.Request("/fhir/Binary/{id}", "GET", 200, 30*time.Millisecond, 1000)
	m.Request("/fhir/Binary/{id}", "BREW", 405, time.Millisecond, 10)
	m.Request("/fhir/$export", "POST", 503, time.Millisecond, 10)
	m.Refused("poll")
	m.PartWritten(3, 500, 100)
	m.JobEnded(store.Failed)
	m.Removed("file", 2)
	m.SelectionInterrupted("log")
	m.GateWaited(20 * time.Millisecond)
	m.GateStalled(store.GateStall{For: 90 * time.Second})
	m.SearchWaited("slow", time.Second)
	m.AuditLost()
	text := scrape(t, m)
	for _, want := range []string{
		`muster_build_info{committed="2026-11-30T01:02:03Z",revision="abc",version="1.2.3"} 1`,
		`muster_jobs{state="accepted"} 2`, `muster_jobs{state="selecting"} 2`, `muster_jobs{state="writing"} 1`,
		`muster_queue_age_seconds 10`, `muster_oldest_job_seconds 60`, `muster_stalled_seconds 5`,
		`muster_selections{lane="short",state="waiting"} 2`, `muster_selections{lane="short",state="running"} 1`, `muster_selections{lane="long",state="waiting"} 1`,
		`muster_selections{lane="long",state="running"} 0`, `muster_pool_used{pool="memory"} 900`, `muster_pool_largest{pool="memory"} 300`,
		`muster_searches{lane="slow",state="running"} 1`, `muster_searches{lane="slow",state="waiting"} 7`,
		`muster_http_request_seconds_count{method="GET",route="/fhir/Binary/{id}",status="200"} 1`,
		`muster_http_request_seconds_count{method="other",route="/fhir/Binary/{id}",status="405"} 1`,
		`muster_http_sent_bytes_total{route="/fhir/Binary/{id}"} 1010`,
		`muster_http_refused_total{limit="poll"} 1`, `muster_http_refused_total{limit="job"} 0`, `muster_http_failures_total 1`,
		`muster_export_parts_written_total 1`, `muster_export_resources_written_total 3`, `muster_export_written_bytes_total 500`, `muster_export_stored_bytes_total 100`,
		`muster_jobs_ended_total{state="failed"} 1`, `muster_jobs_ended_total{state="complete"} 0`,
		`muster_selections_interrupted_total{by="log"} 1`, `muster_selections_interrupted_total{by="slice"} 0`,
		`muster_removed_total{what="file"} 2`, `muster_removed_total{what="export"} 0`, `muster_gate_wait_seconds_count 1`, `muster_gate_stalled_seconds 90`, `muster_search_wait_seconds_count{lane="slow"} 1`, `muster_search_wait_seconds_count{lane="read"} 0`, `muster_audit_lost_total 1`, `go_goroutines `,
		`muster_memberships 3`, `muster_membership_bytes 12288`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%s is not among\n%s", want, text)
		}
	}
}

// TestUnreadableJobs checks that the other metrics are served without a database.
func TestUnreadableJobs(t *testing.T) {
	m := New(Build{})
	m.WatchJobs(fakeJobs{err: errors.New("gone")}, time.Now, long)
	if text := scrape(t, m); !strings.Contains(text, "muster_audit_lost_total 0") || strings.Contains(text, "muster_jobs{") {
		t.Errorf("got\n%s", text)
	}
}

// TestDocumentation compares the names with docs/metrics.md in both directions.
func TestDocumentation(t *testing.T) {
	page, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	m := New(Build{})
	m.WatchJobs(fakeJobs{}, time.Now, long)
	m.WatchPool("memory", fakePool{})
	m.WatchSearches(fakeSearches{})
	m.WatchMembers(fakeMembers{})
	m.WatchDisk("data", t.TempDir())
	m.WatchLog(fakeLog{})
	m.WatchCertificate(time.Now)
	m.WatchTimes(fakeTimes{})
	m.Request("/", "GET", 200, 0, 0)
	names := map[string]bool{}
	for _, found := range regexp.MustCompile(`(?m)^# TYPE (muster_\S+)`).FindAllStringSubmatch(scrape(t, m), -1) {
		names[found[1]] = true
		if !strings.Contains(string(page), "`"+found[1]) {
			t.Errorf("docs/metrics.md does not name %s", found[1])
		}
	}
	for _, found := range regexp.MustCompile("`(muster_[a-z_]+)").FindAllStringSubmatch(string(page), -1) {
		if !names[found[1]] {
			t.Errorf("docs/metrics.md names %s, which does not exist", found[1])
		}
	}
}

// fakeMembers are what three exports held.
type fakeMembers struct{}

func (fakeMembers) MembersKept(context.Context) (sets, bytes int64, err error) { return 3, 12288, nil }

// fakeLog is a log of seven bytes.
type fakeLog struct{ store.WriteAheadLog }

func (fakeLog) LogSize() (int64, error) { return 7, nil }

// fakeTimes are the times of the last load and backup, or an error.
type fakeTimes struct {
	load, backup fhir.Instant
	err          error
}

func (f fakeTimes) Last(_ context.Context, work store.Work) (fhir.Instant, error) {
	if work == store.LoadWork {
		return f.load, f.err
	}
	return f.backup, f.err
}

// TestReadings checks the gauges that are read at each scrape, and that one that cannot be read
// is omitted while the others are served.
func TestReadings(t *testing.T) {
	m := New(Build{})
	m.WatchDisk("files", t.TempDir())
	m.WatchDisk("data", filepath.Join(t.TempDir(), "nowhere"))
	m.WatchCertificate(func() time.Time { return time.Unix(1_900_000_000, 0) })
	m.WatchTimes(fakeTimes{load: 1_800_000_000_500})
	m.WatchLog(fakeLog{})
	text := scrape(t, m)
	for _, want := range []string{
		"muster_certificate_expiry_timestamp_seconds 1.9e+09\n", "muster_last_load_timestamp_seconds 1.8000000005e+09\n", "muster_last_backup_timestamp_seconds 0\n", "muster_wal_bytes 7\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not among\n%s", want, text)
		}
	}
	if !regexp.MustCompile(`muster_disk_free_bytes\{disk="files"\} [1-9]`).MatchString(text) || strings.Contains(text, `disk="data"`) {
		t.Errorf("the free space of the folder that exists is not among\n%s", text)
	}
	m = New(Build{})
	m.WatchTimes(fakeTimes{err: errors.New("gone")})
	if text := scrape(t, m); strings.Contains(text, "muster_last") || !strings.Contains(text, "muster_audit_lost_total 0") {
		t.Errorf("got\n%s", text)
	}
}
