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

// TestRefusedRequestsAreOneEvent checks that the refused requests of a client within a second are
// one event, and that a single one keeps its own.
func TestRefusedRequestsAreOneEvent(t *testing.T) {
	t.Attr("requirements", "AD-01")
	f, path, end := openPaused(t)
	at := time.Date(2026, 3, 1, 9, 30, 0, 0, time.UTC)
	refused := func(client string, n int, status int) {
		f.RecordRefused(client, Event{Time: at.Add(time.Duration(n) * time.Millisecond), RequestID: fmt.Sprint(client, n), Remote: client, Method: "GET",
			Path: fmt.Sprint("/", n), Query: strings.Repeat("q", 1000), Filters: []string{"Practitioner?name=a"}, Status: status, Bytes: 10})
	}
	for n := range 1000 {
		refused("a", n, 429)
	}
	refused("b", 500, 404)
	refused("a", 1000, 431)
	f.Record(Event{Path: "/served", Status: 200})
	end()
	refused("a", 2000, 429)
	end()
	got, bad := events(t, path)
	query := strings.Repeat("q", maxRefusedText) + "…"
	want := []Event{
		{Path: "/served", Status: 200},
		{Time: at, RequestID: "a0", Remote: "a", Method: "GET", Path: "/0", Query: query, Status: 429, Bytes: 10010, Count: 1001, Statuses: map[string]int{"429": 1000, "431": 1}},
		{Time: at.Add(500 * time.Millisecond), RequestID: "b500", Remote: "b", Method: "GET", Path: "/500", Query: query, Status: 404, Bytes: 10},
		{Time: at.Add(2 * time.Second), RequestID: "a2000", Remote: "a", Method: "GET", Path: "/2000", Query: query, Status: 429, Bytes: 10},
	}
	if diff := cmp.Diff(want, got); diff != "" || bad > 0 {
		t.Errorf("%d bad lines; events (-want +got):\n%s", bad, diff)
	}
}

// TestRefusedRequestsTakeLittle floods the log from many clients: neither its memory nor its bytes
// grow with the number of requests or clients.
func TestRefusedRequestsTakeLittle(t *testing.T) {
	f, path, end := openPaused(t)
	const clients, each = 1000, 20
	for n := range clients * each {
		f.RecordRefused(fmt.Sprint(n%clients), Event{RequestID: "id", Remote: fmt.Sprint(n % clients), Path: strings.Repeat("x", maxText), Status: 429})
	}
	if len(f.refused) > maxSummaries+1 {
		t.Errorf("%d summaries are in memory", len(f.refused))
	}
	end()
	got, _ := events(t, path)
	if len(got) != maxSummaries+1 {
		t.Fatalf("%d events", len(got))
	}
	counted := 0
	for _, e := range got {
		counted += e.Count
		if len(e.Path) > maxRefusedText+len("…") || e.Principal == otherClients && (e.Remote != "" || e.Path != "") {
			t.Errorf("an event has the address %q and a path of %d bytes", e.Remote, len(e.Path))
		}
	}
	if counted != clients*each {
		t.Errorf("%d of %d requests are counted", counted, clients*each)
	}
}

// TestCloseWritesRefusedRequests checks that the end of the program loses no summary.
func TestCloseWritesRefusedRequests(t *testing.T) {
	f, path, _ := openPaused(t)
	f.RecordRefused("a", Event{Path: "/1"})
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	f.RecordRefused("a", Event{Path: "/2"})
	if got, _ := events(t, path); len(got) != 1 || got[0].Path != "/1" {
		t.Errorf("events %+v", got)
	}
}
