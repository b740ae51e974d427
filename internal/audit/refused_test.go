package audit

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// openPaused opens a log whose summaries are written when the test calls end.
func openPaused(t *testing.T) (f *File, path string, end func()) {
	t.Helper()
	f, path = open(t, Options{})
	var waiting []func()
	f.after = func(d time.Duration, write func()) {
		if d != time.Second {
			t.Errorf("a summary covers %v", d)
		}
		waiting = append(waiting, write)
	}
	return f, path, func() {
		t.Helper()
		if len(waiting) != 1 {
			t.Fatalf("%d timers run", len(waiting))
		}
		write := waiting[0]
		waiting = nil
		write()
	}
}

// exhaust records as many refused requests of a client as have an event each in a minute.
func exhaust(f *File, client string) {
	for range maxSingle {
		f.RecordRefused(client, "/", Event{Path: "/first", Status: 404})
	}
}

// TestRefusedRequestsAreOneEvent checks that the first refused requests of a client in a minute have
// an event each, and that the further ones within a second are one event, with their number by
// status and route. A single one keeps its own.
func TestRefusedRequestsAreOneEvent(t *testing.T) {
	t.Attr("requirements", "AD-01")
	f, path, end := openPaused(t)
	now := time.Now()
	f.now = func() time.Time { return now }
	at := time.Date(2026, 3, 1, 9, 30, 0, 0, time.UTC)
	refused := func(client string, n int, status int, route string) {
		f.RecordRefused(client, route, Event{Time: at.Add(time.Duration(n) * time.Millisecond), RequestID: fmt.Sprint(client, n), Remote: client, Method: "GET",
			Path: fmt.Sprint("/", n), Query: strings.Repeat("q", 1000), Status: status, Bytes: 10})
	}
	query := strings.Repeat("q", maxRefusedText) + "…"
	event := func(client string, n int, status int) Event {
		return Event{Time: at.Add(time.Duration(n) * time.Millisecond), RequestID: fmt.Sprint(client, n), Remote: client, Method: "GET", Path: fmt.Sprint("/", n), Query: query, Status: status, Bytes: 10}
	}
	var want []Event
	for n := range maxSingle {
		refused("a", n, 400, "/Practitioner")
		want = append(want, event("a", n, 400))
	}
	for n := range 1000 {
		refused("a", 100+n, 429, "/Practitioner")
	}
	refused("b", 500, 404, "/")
	refused("a", 1100, 404, "/Binary/{id}")
	f.Record(Event{Path: "/served", Status: 200})
	end()
	summary := event("a", 100, 429)
	summary.Bytes, summary.Count, summary.Statuses = 10010, 1001, map[string]int{"429": 1000, "404": 1}
	summary.Routes = map[string]int{"/Practitioner": 1000, "/Binary/{id}": 1}
	want = append(want, event("b", 500, 404), Event{Path: "/served", Status: 200}, summary)
	refused("a", 2000, 429, "/")
	end()
	want = append(want, event("a", 2000, 429)) // a summary of one
	now = now.Add(singleInterval)
	refused("a", 60_000, 429, "/")
	want = append(want, event("a", 60_000, 429)) // at once
	got, bad := events(t, path)
	if diff := cmp.Diff(want, got); diff != "" || bad > 0 {
		t.Errorf("%d bad lines; events (-want +got):\n%s", bad, diff)
	}
}

// TestRefusedRequestsTakeLittle floods the log from many clients with long texts: neither its memory
// nor its bytes grow with the number of requests or clients.
func TestRefusedRequestsTakeLittle(t *testing.T) {
	f, path, end := openPaused(t)
	const clients, each = 2000, 50
	long := strings.Repeat("x", maxText)
	for n := range clients * each {
		client := fmt.Sprint(n / each)
		f.RecordRefused(client, "/", Event{RequestID: "id", Remote: client, Method: long, Path: long, Query: long, Job: long, File: long, Filters: []string{"a", long, "b"}, Status: 400})
	}
	if len(f.refused) > maxSummaries+1 || len(f.singles.counts) > maxSingles {
		t.Errorf("%d summaries and %d clients are in memory", len(f.refused), len(f.singles.counts))
	}
	end()
	got, _ := events(t, path)
	if len(got) != maxSingles+maxSummaries+1 {
		t.Fatalf("%d events", len(got))
	}
	counted := 0
	for _, e := range got {
		counted += max(1, e.Count)
		if e.Remote != "" && fmt.Sprint(e.Filters) != "[a "+long[:maxRefusedText-1]+"…]" {
			t.Errorf("an event has the filters %q", e.Filters)
		}
		for _, text := range []string{e.Method, e.Path, e.Query, e.Job, e.File} {
			if len(text) > maxRefusedText+len("…") || e.Principal == otherClients && (e.Remote != "" || text != "") {
				t.Errorf("an event of %q has a text of %d bytes", e.Remote, len(text))
			}
		}
	}
	if counted != clients*each {
		t.Errorf("%d of %d requests are counted", counted, clients*each)
	}
}

// TestCloseWritesRefusedRequests checks that the end of the program loses no summary.
func TestCloseWritesRefusedRequests(t *testing.T) {
	f, path, _ := openPaused(t)
	exhaust(f, "a")
	f.RecordRefused("a", "/", Event{Path: "/1"})
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	f.RecordRefused("a", "/", Event{Path: "/2"})
	f.RecordRefused("b", "/", Event{Path: "/3"})
	if got, _ := events(t, path); len(got) != maxSingle+1 || got[maxSingle].Path != "/1" {
		t.Errorf("events %+v", got)
	}
}
