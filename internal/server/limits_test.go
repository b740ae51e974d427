package server

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"muster/internal/export"
	"muster/internal/fhir"
	"muster/internal/searchset"
	"muster/internal/store"
)

// counts is an observer that a test reads.
type counts struct {
	mu       sync.Mutex
	requests []string
	refused  map[string]int
}

func (c *counts) Request(route, method string, status int, took time.Duration, sent int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.requests = append(c.requests, fmt.Sprint(method, " ", route, " ", status))
}

func (c *counts) Refused(what string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.refused == nil {
		c.refused = map[string]int{}
	}
	c.refused[what]++
}

func TestLimitsOfRequests(t *testing.T) {
	t.Attr("requirements", "RL-04 ER-01")
	const metadata = "/api/v1/fhir/metadata"
	for _, c := range []struct {
		name, path string
		header     string
		status     int
		code       fhir.Code
	}{
		{"long address", metadata + "?a=" + strings.Repeat("x", 16<<10), "", 414, fhir.CodeTooCostly},
		{"address that is just short enough", metadata + "?a=" + strings.Repeat("x", 16<<10-len(metadata)-3), "", 200, ""},
		{"long header", metadata, "X-Junk: " + strings.Repeat("x", 32<<10), 431, fhir.CodeTooCostly},
		{"long Accept", metadata, "Accept: " + strings.Repeat("a/b,", 1000) + "*/*", 200, ""},
		{"many parameters", metadata + "?" + strings.Repeat("a&", 200), "", 400, fhir.CodeTooCostly},
		{"as many as may be", metadata + "?a" + strings.Repeat("&a", 199), "", 200, ""},
		{"long poll", "/api/v1/fhir/$export-poll-status?_jobId=" + strings.Repeat("x", 16<<10), "", 414, fhir.CodeTooCostly},
	} {
		t.Run(c.name, func(t *testing.T) {
			u := start(t)
			var headers []string
			if c.header != "" {
				headers = append(headers, c.header)
			}
			r := u.ask("GET", c.path, "", headers...)
			u.expect(r, c.status, c.code)
			if strings.Contains(c.path, "poll") && (r.Header.Get("Retry-After") == "" || r.Header.Get("X-Progress") == "") {
				t.Error("an answer to a poll lacks Retry-After or X-Progress (PO-02)")
			}
		})
	}
}

func TestRateOfAClient(t *testing.T) {
	t.Attr("requirements", "RL-04 PO-02")
	var clock atomicClock
	clock.set(time.Date(2026, 3, 1, 9, 30, 0, 0, time.UTC))
	numbers := &counts{}
	u := start(t, func(c *Config) {
		c.Now, c.Observer = clock.now, numbers
		c.Limits = Limits{Rate: 0.5, Burst: 3}
	})
	u.fake.status = export.Status{State: store.Writing, RetryAfter: 9, Progress: "p"}
	const poll = "/api/v1/fhir/$export-poll-status?_jobId=" + knownJob
	for range 3 {
		u.expect(u.ask("GET", poll, ""), 202, "")
	}
	r := u.ask("GET", poll, "")
	u.expect(r, 429, fhir.CodeThrottled)
	if r.Header.Get("Retry-After") != "2" || r.Header.Get("X-Progress") == "" {
		t.Errorf("Retry-After %q, X-Progress %q; want 2 and something", r.Header.Get("Retry-After"), r.Header.Get("X-Progress"))
	}
	if len(u.fake.asked) != 3 {
		t.Errorf("the store was asked %d times, want 3", len(u.fake.asked))
	}
	u.expect(u.ask("GET", "/healthz", ""), 200, "") // whoever watches is never refused
	if n, _ := strconv.Atoi(r.Header.Get("Retry-After")); n > 0 {
		clock.add(time.Duration(n) * time.Second)
	}
	u.expect(u.ask("GET", poll, ""), 202, "")
	if numbers.refused[RefusedRate] != 1 {
		t.Errorf("refused: %v", numbers.refused)
	}
}

// Each client has an allowance of its own, and one that has gone takes no memory.
func TestClientsAreApartAndForgotten(t *testing.T) {
	t.Attr("requirements", "RL-04")
	now := time.Unix(1000, 0)
	c := newClients(Limits{Rate: 1, Burst: 1, Downloads: 1}.withDefaults(), func() time.Time { return now })
	if c.allow("a") != 0 || c.allow("b") != 0 || c.allow("a") == 0 {
		t.Error("two clients share an allowance, or one has more than its own")
	}
	ended := c.startDownload("a")
	if ended == nil || c.startDownload("a") != nil || c.startDownload("b") == nil {
		t.Fatal("downloads are counted wrong")
	}
	now = now.Add(2 * forgetAfter)
	c.allow("c")
	if len(c.all) != 3 { // a and b still download
		t.Errorf("%d clients are known, want a, b and c", len(c.all))
	}
	ended()
	now = now.Add(2 * forgetAfter)
	c.allow("c")
	if c.all["a"] != nil {
		t.Error("a client that has gone is still known")
	}
	for n := range mostClients + 10 {
		c.allow(fmt.Sprint(n))
	}
	if len(c.all) > mostClients+1 {
		t.Errorf("%d clients are known, may be %d", len(c.all), mostClients)
	}
}

func TestNetworkOfAnAddress(t *testing.T) {
	for address, want := range map[string]string{
		"192.0.2.7":            "192.0.2.7",
		"2001:db8:1:2:3:4:5:6": "2001:db8:1:2::/64",
		"fe80::1%eth0":         "fe80::/64",
		"::ffff:192.0.2.7":     "::ffff:192.0.2.7",
		"@":                    "@",
	} {
		if got := network(address); got != want {
			t.Errorf("network(%q) = %q, want %q", address, got, want)
		}
	}
}

func TestDownloadsAtATime(t *testing.T) {
	t.Attr("requirements", "RL-04")
	numbers := &counts{}
	u := start(t, func(c *Config) { c.Limits.Downloads, c.Observer = 2, numbers })
	text := someResources(3)
	opened := storedFile(t, text)
	var inside func()
	u.fake.file = func() (*export.File, error) {
		if inside != nil {
			inside()
		}
		return opened()
	}
	const path = "/api/v1/fhir/Binary/" + knownFile
	depth := 0
	inside = func() { // two downloads are open when the third begins
		depth++
		if level := depth; level < 3 {
			if r := u.ask("GET", path, ""); level == 2 {
				u.expect(r, 429, fhir.CodeThrottled)
				if r.Header.Get("Retry-After") != "5" {
					t.Errorf("Retry-After %q", r.Header.Get("Retry-After"))
				}
			}
		}
	}
	u.expect(u.ask("GET", path, ""), 200, "")
	if depth != 2 || numbers.refused[RefusedDownload] != 1 {
		t.Errorf("%d downloads began, refused: %v", depth, numbers.refused)
	}
}

// slowSearches answers a search 20 seconds after it was asked, or when nobody waits any more.
type slowSearches struct{ fakeSearches }

func (f slowSearches) Search(ctx context.Context, t fhir.Type, query string) (searchset.Answer, error) {
	select {
	case <-time.After(20 * time.Second):
		return f.fakeSearches.Search(ctx, t, query)
	case <-ctx.Done():
		return searchset.Answer{}, ctx.Err()
	}
}

func (f slowSearches) Page(ctx context.Context, query string) (searchset.Answer, error) {
	return f.Search(ctx, 0, query)
}

// TestSearchesAtATime: who has slow searches running waits, and does not make others wait.
func TestSearchesAtATime(t *testing.T) {
	t.Attr("requirements", "RL-04")
	synctest.Test(t, func(t *testing.T) {
		numbers := &counts{}
		config := testConfig(t, &fakeExports{})
		config.Searches, config.Limits.Searches, config.Observer = slowSearches{}, 2, numbers
		s, err := New(config)
		if err != nil {
			t.Fatal(err)
		}
		// ask sends a search, and tells its status and how long it took.
		ask := func(ctx context.Context, from, path string) (int, time.Duration) {
			r := httptest.NewRequestWithContext(ctx, "GET", "/api/v1/fhir/"+path, nil)
			r.RemoteAddr = from + ":1"
			w, start := httptest.NewRecorder(), time.Now()
			s.ServeHTTP(w, r)
			return w.Code, time.Since(start)
		}
		first, leave := context.WithCancel(t.Context())
		for range 2 {
			go ask(first, "192.0.2.1", "Practitioner?name=a")
		}
		synctest.Wait()
		if status, took := ask(t.Context(), "192.0.2.1", "?_getpages=x"); status != 429 || took != searchWait || numbers.refused[RefusedSearch] != 1 {
			t.Errorf("a third search: %d after %v, refused: %v", status, took, numbers.refused)
		}
		if status, took := ask(t.Context(), "192.0.2.1", "Practitioner/1"); status != 200 || took != 0 {
			t.Errorf("a read beside the searches: %d after %v", status, took)
		}
		if status, took := ask(t.Context(), "192.0.2.2", "Practitioner?name=a"); status != 200 || took != 20*time.Second {
			t.Errorf("another client's search: %d after %v", status, took)
		}
		for range 2 {
			go ask(first, "192.0.2.1", "Practitioner?name=a")
		}
		synctest.Wait()
		time.AfterFunc(time.Second, leave)
		if status, took := ask(t.Context(), "192.0.2.1", "?_getpages=x"); status != 200 || took != 21*time.Second {
			t.Errorf("when others have ended: %d after %v", status, took)
		}
	})
}

// A body can have hundreds of thousands of mistakes; the answer lists a hundred.
func TestIssuesAreCapped(t *testing.T) {
	t.Attr("requirements", "ER-01")
	u := start(t, func(c *Config) { c.ParseExport = parseForReal(t) })
	body := `{"resourceType":"Parameters","parameter":[1` + strings.Repeat(",1", 400_000) + `]}`
	r := u.ask("POST", "/api/v1/fhir/$export", body, "Content-Type: application/fhir+json", "Prefer: respond-async")
	if r.StatusCode != 400 || len(r.body) > 64<<10 {
		t.Fatalf("status %d with %d bytes", r.StatusCode, len(r.body))
	}
	issues := fhir.Issues{}
	for n := range 250 {
		issues = append(issues, fhir.Issue{Code: fhir.CodeInvalid, Diagnostics: fmt.Sprint("mistake ", n)})
	}
	answer := outcomeJSON(issues, requestID)
	if n := bytes.Count(answer, []byte(`"severity":"error"`)); n != mostIssues {
		t.Errorf("%d issues, want %d", n, mostIssues)
	}
	if !bytes.Contains(answer, []byte("150 more issues")) {
		t.Errorf("nobody says how many are left out: %s", answer)
	}
}

// Numbers are for this machine, and behind a proxy for nobody.
func TestMetricsStayAtHome(t *testing.T) {
	numbers := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "n 1\n") })
	u := start(t, func(c *Config) { c.Metrics = numbers })
	if r := u.ask("GET", "/metrics", ""); r.StatusCode != 200 || string(r.body) != "n 1\n" {
		t.Errorf("from this machine: %d %q", r.StatusCode, r.body)
	}
	u = start(t, func(c *Config) { c.Metrics, c.BehindProxy = numbers, true })
	u.expect(u.ask("GET", "/metrics", ""), 404, fhir.CodeNotSupported)
	far := httptest.NewRequest("GET", "/metrics", nil) // from 192.0.2.1
	w := httptest.NewRecorder()
	start(t, func(c *Config) { c.Metrics = numbers }).Config.Handler.ServeHTTP(w, far)
	if w.Code != 404 || strings.Contains(w.Body.String(), "n 1") {
		t.Errorf("from another machine: %d %q", w.Code, w.Body)
	}
}

func TestObserverSeesRoutes(t *testing.T) {
	numbers := &counts{}
	u := start(t, func(c *Config) { c.Observer = numbers })
	u.ask("GET", "/api/v1/fhir/Binary/secret", "")
	u.ask("GET", "/nowhere/at/all", "")
	u.Close()
	want := []string{"GET /api/v1/fhir/Binary/{id} 404", "GET / 404"}
	if fmt.Sprint(numbers.requests) != fmt.Sprint(want) {
		t.Errorf("got %q, want %q", numbers.requests, want)
	}
}

// atomicClock is a clock that a test moves while requests run.
type atomicClock struct {
	mu sync.Mutex
	at time.Time
}

func (c *atomicClock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *atomicClock) set(at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = at
}

func (c *atomicClock) add(d time.Duration) { c.set(c.now().Add(d)) }
