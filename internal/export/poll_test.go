package export

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"muster/internal/auth"
	"muster/internal/fhir"
	"muster/internal/store"

	"github.com/google/go-cmp/cmp"
)

// step is a poll some time after the previous one, with its result.
type step struct {
	after     time.Duration
	throttled bool
	retry     int
}

func TestPollLimits(t *testing.T) {
	for name, test := range map[string]struct {
		req      string
		limit    PollLimit
		interval time.Duration
		steps    []step
	}{
		"the first poll is free":     {"RL-01", PollEnforce, 2 * time.Minute, []step{{0, false, 120}}},
		"in time":                    {"PO-05 PO-10", PollEnforce, 2 * time.Minute, []step{{0, false, 120}, {120 * time.Second, false, 120}}},
		"a tenth early":              {"RL-01", PollEnforce, 2 * time.Minute, []step{{0, false, 120}, {108 * time.Second, false, 120}}},
		"too early":                  {"RL-02", PollEnforce, 2 * time.Minute, []step{{0, false, 120}, {107 * time.Second, true, 13}}},
		"rejections do not restart":  {"RL-02 PO-10", PollEnforce, 2 * time.Minute, []step{{0, false, 120}, {time.Second, true, 119}, {59 * time.Second, true, 60}, {60 * time.Second, false, 120}}},
		"a second early, short wait": {"RL-01", PollEnforce, 5 * time.Second, []step{{0, false, 5}, {4 * time.Second, false, 5}, {3999 * time.Millisecond, true, 2}}},
		"warn only":                  {"RL-03", PollWarn, 2 * time.Minute, []step{{0, false, 120}, {time.Second, false, 120}}},
		"off":                        {"RL-03", PollOff, 2 * time.Minute, []step{{0, false, 120}, {0, false, 120}}},
		"adaptive, before the rate":  {"PO-02", PollEnforce, 0, []step{{0, false, 1}, {time.Second, false, 1}, {9 * time.Second, false, 5}, {10 * time.Second, false, 10}, {5 * time.Minute, false, 120}}},
	} {
		t.Run(test.req+" "+name, func(t *testing.T) {
			b := newFixture(t, func(c *Config) { c.PollLimit, c.PollInterval = test.limit, test.interval })
			id := b.kickOff("Practitioner") // no worker runs
			for n, s := range test.steps {
				b.clock.Add(s.after)
				got, err := b.Poll(t.Context(), id)
				if err != nil {
					t.Fatal(err)
				}
				if got.Throttled != s.throttled || got.RetryAfter != s.retry {
					t.Errorf("%s: poll %d: throttled %t, Retry-After %d; want %t, %d", test.req, n+1, got.Throttled, got.RetryAfter, s.throttled, s.retry)
				}
				if got.Progress != "Search in progress - found 0 resources so far" {
					t.Errorf("poll %d: progress %q", n+1, got.Progress)
				}
			}
		})
	}
}

func TestRetryAfterIsTheTimeLeft(t *testing.T) {
	s := New(Config{})
	const start = fhir.Instant(1_800_000_000_000)
	for _, test := range []struct {
		req          string
		found, total int64
		after        fhir.Instant // ms since writing began
		want         int
	}{
		{"PO-05", 0, 1000, 7000, 4}, // no rate: half of the time since the kick-off a second before
		{"PO-05", 500, 1000, 10_000, 10},
		{"PO-05", 250, 1000, 10_000, 30},
		{"PO-05", 1, 1000, 10_000, 120},
		{"PO-05", 999, 1000, 10_000, 1},
		{"PO-05", 1000, 1000, 10_000, 1},
		{"PO-05", 5, 1000, 0, 1},
	} {
		job := store.Job{State: store.Writing, Created: start - 1000, Started: start, Found: test.found, Total: test.total}
		if got := s.retryAfter(job, start+test.after); got != test.want {
			t.Errorf("%s: %d of %d after %d ms: Retry-After %d, want %d", test.req, test.found, test.total, test.after, got, test.want)
		}
	}
}

func TestProgress(t *testing.T) {
	for _, test := range []struct {
		req  string
		job  store.Job
		want string
	}{
		{"PO-04", store.Job{State: store.Accepted, Total: -1}, "Search in progress - found 0 resources so far"},
		{"PO-04", store.Job{State: store.Selecting, Total: -1, Found: 954}, "Search in progress - found 954 resources so far"},
		{"PO-04", store.Job{State: store.Writing, Total: 1000, Found: 954}, "Search in progress - found 954 of 1,000 resources"},
		{"PO-04", store.Job{State: store.Writing, Total: 1234567890, Found: 123456}, "Search in progress - found 123,456 of 1,234,567,890 resources"},
		{"PO-04", store.Job{State: store.Complete, Total: 12}, "Export complete - 12 resources"},
		{"PO-04", store.Job{State: store.Failed}, "Export failed"},
	} {
		if got := progress(test.job); got != test.want || len(got) >= 100 {
			t.Errorf("%s: %q, want %q", test.req, got, test.want)
		}
	}
}

func TestManifest(t *testing.T) {
	b := newFixture(t, func(c *Config) { c.RequiresAccessToken = true })
	const at = fhir.Instant(1_772_357_400_125) // 2026-03-01, daylight saving in Sydney
	const leftOut = "Suppressed resources are left out, because this client may not see them. A copy that was made earlier may still hold resources that were suppressed since."
	part := func(t fhir.Type, file string, count int64) store.Part {
		return store.Part{Type: t, File: file, Stored: store.Stored{Count: count}}
	}
	kind := func(kind store.PartKind, file string, count int64) store.Part {
		return store.Part{Kind: kind, File: file, Stored: store.Stored{Count: count}}
	}
	for name, test := range map[string]struct {
		req     string
		request string
		parts   []store.Part
		want    string
	}{
		"files": {"MA-01 MA-02 MA-03 MA-04 MA-05 MA-07", `{"filters":[]}`, []store.Part{part(fhir.Practitioner, "a", 2), part(fhir.Practitioner, "b", 1), part(fhir.Location, "c", 7)},
			`{"transactionTime":"2026-03-01T20:30:00.125+11:00","request":"http://localhost:8080/fhir/$export","requiresAccessToken":true,"output":[` +
				`{"type":"Practitioner","url":"http://localhost:8080/fhir/Binary/a","count":2},` +
				`{"type":"Practitioner","url":"http://localhost:8080/fhir/Binary/b","count":1},` +
				`{"type":"Location","url":"http://localhost:8080/fhir/Binary/c","count":7}],"error":[]}`},
		"other kinds": {"MA-04 MA-05 MA-08", `{"filters":[],"since":1}`, []store.Part{part(fhir.Practitioner, "a", 2), kind(store.PartRemoved, "b", 3), kind(store.PartOutcomes, "c", 1)},
			`{"transactionTime":"2026-03-01T20:30:00.125+11:00","request":"http://localhost:8080/fhir/$export","requiresAccessToken":true,"output":[` +
				`{"type":"Practitioner","url":"http://localhost:8080/fhir/Binary/a","count":2}],"deleted":[` +
				`{"type":"Bundle","url":"http://localhost:8080/fhir/Binary/b","count":3}],"error":[` +
				`{"type":"OperationOutcome","url":"http://localhost:8080/fhir/Binary/c","count":1}]}`},
		"removals alone": {"MA-06 MA-08", `{"filters":[],"since":1}`, []store.Part{kind(store.PartRemoved, "b", 3)},
			`{"transactionTime":"2026-03-01T20:30:00.125+11:00","request":"http://localhost:8080/fhir/$export","requiresAccessToken":true,"output":[],"deleted":[` +
				`{"type":"Bundle","url":"http://localhost:8080/fhir/Binary/b","count":3}],"error":[]}`},
		"a removal List": {"RM-01 RM-04 MA-11", `{"filters":[],"since":1000000000000,"withoutSuppressed":true,"removalList":"output"}`, []store.Part{part(fhir.Practitioner, "a", 2), kind(store.PartList, "b", 1), kind(store.PartRemoved, "c", 3)},
			`{"transactionTime":"2026-03-01T20:30:00.125+11:00","request":"http://localhost:8080/fhir/$export","requiresAccessToken":true,"output":[` +
				`{"type":"Practitioner","url":"http://localhost:8080/fhir/Binary/a","count":2},` +
				`{"type":"List","url":"http://localhost:8080/fhir/Binary/b","count":1}],"deleted":[` +
				`{"type":"Bundle","url":"http://localhost:8080/fhir/Binary/c","count":3}],"error":[]}`},
		"a removal List as an extension": {"RM-04 MA-09 MA-11", `{"filters":[],"since":1000000000000,"removalList":"extension"}`, []store.Part{kind(store.PartList, "b", 1)},
			`{"transactionTime":"2026-03-01T20:30:00.125+11:00","request":"http://localhost:8080/fhir/$export","requiresAccessToken":true,"output":[],"error":[],` +
				`"extension":{"removalList":[{"type":"List","url":"http://localhost:8080/fhir/Binary/b","count":1}]}}`},
		"a removal List without entries": {"MA-06 MA-07", `{"filters":[],"since":1000000000000,"withoutSuppressed":true,"removalList":"output"}`, []store.Part{part(fhir.Practitioner, "a", 2)},
			`{"transactionTime":"2026-03-01T20:30:00.125+11:00","request":"http://localhost:8080/fhir/$export","requiresAccessToken":true,"output":[` +
				`{"type":"Practitioner","url":"http://localhost:8080/fhir/Binary/a","count":2}],"error":[]}`},
		"no data": {"MA-06", `{"filters":[]}`, nil,
			`{"transactionTime":"2026-03-01T20:30:00.125+11:00","request":"http://localhost:8080/fhir/$export","requiresAccessToken":true,"output":[],"error":[],` +
				`"message":"Export complete, but no data to generate report for job instance: job-1"}`},
		"without suppressed": {"MA-07 SU-01", `{"filters":[],"since":1,"withoutSuppressed":true}`, []store.Part{part(fhir.Practitioner, "a", 2)},
			`{"transactionTime":"2026-03-01T20:30:00.125+11:00","request":"http://localhost:8080/fhir/$export","requiresAccessToken":true,"output":[` +
				`{"type":"Practitioner","url":"http://localhost:8080/fhir/Binary/a","count":2}],"error":[],` +
				`"message":"` + leftOut + `"}`},
		"no data, without suppressed": {"MA-06 SU-01", `{"filters":[],"since":1,"withoutSuppressed":true}`, nil,
			`{"transactionTime":"2026-03-01T20:30:00.125+11:00","request":"http://localhost:8080/fhir/$export","requiresAccessToken":true,"output":[],"error":[],` +
				`"message":"Export complete, but no data to generate report for job instance: job-1. ` + leftOut + `"}`},
	} {
		got, err := b.manifest(store.Job{ID: "job-1", Time: at, Request: []byte(test.request)}, test.parts)
		if err != nil || string(got) != test.want {
			t.Errorf("%s: %s: %v\n got %s\nwant %s", test.req, name, err, got, test.want)
		}
	}
}

// TestNoData checks that an export without resources says so and has no files (MA-06).
func TestNoData(t *testing.T) {
	t.Attr("req", "MA-06")
	b := newFixture(t, nil)
	start(t, b.Service)
	id := b.kickOff("Endpoint")
	var m map[string]any
	if err := json.Unmarshal(b.wait(b.Service, id).Manifest, &m); err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(m["message"].(string), id) || len(m["output"].([]any)) != 0 || len(m["error"].([]any)) != 0 {
		t.Errorf("manifest %v", m)
	}
}

func TestFinishedJobsAreNotLimited(t *testing.T) {
	t.Attr("req", "PO-13 PO-14")
	b := newFixture(t, nil)
	b.fill(1)
	start(t, b.Service)
	id := b.kickOff("Practitioner")
	b.wait(b.Service, id)
	config := b.Config
	config.PollLimit = PollEnforce
	b.Service = New(config)
	for range 3 { // PO-14
		status, err := b.Poll(t.Context(), id)
		if err != nil || status.Throttled || len(status.Manifest) == 0 || status.RetryAfter != 1 || status.Expires != b.now()+milliseconds(24*time.Hour) {
			t.Errorf("status %+v, %v", status, err)
		}
	}
}

// TestAccess checks that jobs and files are visible to their client only, and that they
// expire even if the janitor has not run.
func TestAccess(t *testing.T) {
	b := newFixture(t, nil)
	b.fill(1)
	start(t, b.Service)
	id := b.kickOff("Practitioner")
	b.wait(b.Service, id)
	parts, err := b.jobs.Parts(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	foreign := auth.With(t.Context(), auth.Principal{ID: "another client", Grants: auth.AllGrants()})
	_, poll := b.Poll(foreign, id)
	_, open := b.OpenFile(foreign, parts[0].File)
	_, unknown := b.Poll(t.Context(), "no-such-job")
	_, nofile := b.OpenFile(t.Context(), "no-such-file")
	for req, err := range map[string]error{"PO-08": poll, "RE-10": open, "DE-04": b.Cancel(foreign, id), "KO-51": unknown, "RE-09": nofile} {
		if !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%s: error %v, want not found", req, err)
		}
	}
	b.clock.Add(24 * time.Hour)
	_, poll = b.Poll(t.Context(), id)
	_, open = b.OpenFile(t.Context(), parts[0].File)
	if diff := cmp.Diff([]bool{true, true, true}, []bool{errors.Is(poll, store.ErrNotFound), errors.Is(open, store.ErrNotFound), errors.Is(b.Cancel(t.Context(), id), ErrExpired)}); diff != "" {
		t.Errorf("after the retention: poll %v, open %v", poll, open)
	}
	if err := b.sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := b.Cancel(t.Context(), id); !errors.Is(err, ErrExpired) {
		t.Errorf("after the janitor: cancel %v", err)
	}
}
