package server

import (
	"context"
	"fmt"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"muster/internal/auth"
	"muster/internal/client"
	"muster/internal/export"
	"muster/internal/fhir"
	"muster/internal/searchset"
	"muster/internal/store"
	"muster/internal/testkit"
)

func TestRequestLimits(t *testing.T) {
	t.Attr("requirements", "RL-04 ER-01")
	const metadata, search = "/api/v1/fhir/metadata", "/api/v1/fhir/Practitioner"
	for _, c := range []struct {
		name, path string
		header     string
		status     int
		code       fhir.Code
	}{
		{"long address", metadata + "?a=" + strings.Repeat("x", 16<<10), "", 414, fhir.CodeTooCostly},
		{"address that is just short enough", search + "?a=" + strings.Repeat("x", 16<<10-len(search)-3), "", 200, ""},
		{"long header", metadata, "X-Junk: " + strings.Repeat("x", 32<<10), 431, fhir.CodeTooCostly},
		{"long Accept", metadata, "Accept: " + strings.Repeat("a/b,", 1000) + "*/*", 200, ""},
		{"many parameters", metadata + "?" + strings.Repeat("a&", 200), "", 400, fhir.CodeTooCostly},
		{"as many as may be", search + "?a" + strings.Repeat("&a", 199), "", 200, ""},
		{"long poll", "/api/v1/fhir/$export-poll-status?_jobId=" + strings.Repeat("x", 16<<10), "", 414, fhir.CodeTooCostly},
	} {
		t.Run(c.name, func(t *testing.T) {
			u := startServer(t)
			var headers []string
			if c.header != "" {
				headers = append(headers, c.header)
			}
			r := u.request("GET", c.path, "", headers...)
			u.wantStatus(r, c.status, c.code)
			if strings.Contains(c.path, "poll") && (r.Header.Get("Retry-After") == "" || r.Header.Get("X-Progress") == "") {
				t.Error("an answer to a poll lacks Retry-After or X-Progress (PO-02)")
			}
		})
	}
}

func TestRateLimit(t *testing.T) {
	t.Attr("requirements", "RL-04 PO-02")
	clock := testkit.NewClock(time.Date(2026, 3, 1, 9, 30, 0, 0, time.UTC))
	observer := &countingObserver{}
	u := startServer(t, func(c *Config) {
		c.Now, c.Observer = clock.Now, observer
		c.Limits = Limits{Rate: 0.5, Burst: 3}
	})
	u.fake.status = export.Status{State: store.Writing, RetryAfter: 9, Progress: "p"}
	const poll = "/api/v1/fhir/$export-poll-status?_jobId=" + knownJob
	for range 3 {
		u.wantStatus(u.request("GET", poll, ""), 202, "")
	}
	r := u.request("GET", poll, "")
	u.wantStatus(r, 429, fhir.CodeThrottled)
	if r.Header.Get("Retry-After") != "2" || r.Header.Get("X-Progress") == "" {
		t.Errorf("Retry-After %q, X-Progress %q; want 2 and something", r.Header.Get("Retry-After"), r.Header.Get("X-Progress"))
	}
	if len(u.fake.polled) != 3 {
		t.Errorf("the store was asked %d times, want 3", len(u.fake.polled))
	}
	u.wantStatus(u.request("GET", "/healthz", ""), 200, "") // monitoring is never limited
	if n, _ := strconv.Atoi(r.Header.Get("Retry-After")); n > 0 {
		clock.Add(time.Duration(n) * time.Second)
	}
	u.wantStatus(u.request("GET", poll, ""), 202, "")
	if observer.refused[RefusedRate] != 1 {
		t.Errorf("refused: %v", observer.refused)
	}
}

// TestFloodsClose checks that a client that continues far beyond its rate loses its connection and
// gets none for a while, and that a proxy does not.
func TestFloodsClose(t *testing.T) {
	t.Attr("requirements", "RL-04")
	for _, proxy := range []bool{false, true} {
		clock := testkit.NewClock(time.Date(2026, 3, 1, 9, 30, 0, 0, time.UTC))
		u := startServer(t, func(c *Config) {
			c.Now, c.BehindProxy = clock.Now, proxy
			c.Limits = Limits{Rate: 1, Burst: 2}
		})
		for n := range 5 {
			r := u.request("GET", "/api/v1/fhir/metadata", "", "X-Forwarded-For: 203.0.113.9")
			want, code := 429, fhir.CodeThrottled
			if n < 2 {
				want, code = 200, ""
			}
			u.wantStatus(r, want, code)
			if closes := n >= 4 && !proxy; r.Close != closes {
				t.Errorf("proxy %t, request %d: the connection closes: %t", proxy, n+1, r.Close)
			}
		}
		if proxy {
			continue
		}
		own, other := "127.0.0.1", "127.0.9.1"
		if status, err := u.getFrom(own, "/healthz"); err == nil {
			t.Errorf("a new connection of the client is answered with %d", status)
		}
		if status, err := u.getFrom(other, "/healthz"); err != nil || status != 200 {
			t.Errorf("another client: %d, %v", status, err)
		}
		clock.Add(floodPause)
		if status, err := u.getFrom(own, "/api/v1/fhir/metadata"); err != nil || status != 200 {
			t.Errorf("after the pause: %d, %v", status, err)
		}
	}
}

// TestClientsAreSeparateAndEvicted checks that each client has its own limits and that
// idle clients are evicted.
func TestClientsAreSeparateAndEvicted(t *testing.T) {
	t.Attr("requirements", "RL-04")
	now := time.Unix(1000, 0)
	c := newClients(Limits{Rate: 1, Burst: 1, Searches: 1}.withDefaults(), func() time.Time { return now })
	a, b, other := client.Client{Name: "a"}, client.Client{Name: "b"}, client.Client{Name: "c"}
	if c.takeRequest(a, c.limits) != 0 || c.takeRequest(b, c.limits) != 0 || c.takeRequest(a, c.limits) == 0 {
		t.Error("two clients share an allowance, or one has more than its own")
	}
	for _, searching := range []client.Client{a, b} {
		c.searches(searching)[0] <- struct{}{}
	}
	now = now.Add(2 * idleTimeout)
	c.takeRequest(other, c.limits)
	if len(c.byName) != 3 { // a and b still search
		t.Errorf("%d clients are known, want a, b and c", len(c.byName))
	}
	<-c.searches(a)[0]
	now = now.Add(2 * idleTimeout)
	c.takeRequest(other, c.limits)
	if c.byName["a"] != nil {
		t.Error("a client that has gone is still known")
	}
	for n := range maxClients + 10 {
		c.takeRequest(client.Client{Name: fmt.Sprint(n), Wider: "network"}, c.limits)
	}
	if wait := c.takeRequest(client.Client{}, c.limits); wait != 0 {
		t.Errorf("the program itself waits %v", wait)
	}
	if len(c.byName) > maxClients+1 {
		t.Errorf("%d clients are known, may be %d", len(c.byName), maxClients)
	}
}

// TestAllowancesOfNetworks checks that the clients of a wider network have a limit together, in
// which each has its own, and that a refused request uses up nothing.
func TestAllowancesOfNetworks(t *testing.T) {
	t.Attr("requirements", "RL-04")
	now := time.Unix(1000, 0)
	c := newClients(Limits{Rate: 1, Burst: 1, Searches: 1}.withDefaults(), func() time.Time { return now })
	of := func(n int) client.Client { return client.Client{Name: fmt.Sprint(n), Wider: "network"} }
	for n := range client.WiderFactor {
		if c.takeRequest(of(n), c.limits) != 0 || c.takeRequest(of(n), c.limits) == 0 {
			t.Errorf("client %d has more or less than its own rate", n)
		}
	}
	if c.takeRequest(of(9), c.limits) == 0 {
		t.Error("a network has more than its allowance")
	}
	if c.takeRequest(client.Client{Name: "x", Wider: "another"}, c.limits) != 0 {
		t.Error("another network waits")
	}
	now = now.Add(time.Second)
	if c.takeRequest(of(9), c.limits) != 0 {
		t.Error("a refused request has used up the allowance")
	}
	if all := c.searches(of(1)); len(all) != 2 || cap(all[0]) != 1 || cap(all[1]) != client.WiderFactor {
		t.Errorf("the slots of searches: %v", all)
	}
}

func TestConcurrentDownloads(t *testing.T) {
	t.Attr("requirements", "RL-04")
	observer := &countingObserver{}
	u := startServer(t, func(c *Config) { c.Limits.Downloads, c.Observer = 2, observer })
	text := ndjsonOfSize(3)
	open := storedFile(t, text)
	var inside func()
	u.fake.file = func() (*export.File, error) {
		if inside != nil {
			inside()
		}
		return open()
	}
	const path = "/api/v1/fhir/Binary/" + knownFile
	depth := 0
	inside = func() { // two downloads are open when the third begins
		depth++
		if level := depth; level < 3 {
			if r := u.request("GET", path, ""); level == 2 {
				u.wantStatus(r, 429, fhir.CodeThrottled)
				if r.Header.Get("Retry-After") != "5" {
					t.Errorf("Retry-After %q", r.Header.Get("Retry-After"))
				}
			}
		}
	}
	u.wantStatus(u.request("GET", path, ""), 200, "")
	if depth != 2 || observer.refused[RefusedDownload] != 1 {
		t.Errorf("%d downloads began, refused: %v", depth, observer.refused)
	}
}

// slowSearches answers a search after 20 seconds, or when its context ends.
type slowSearches struct{ fakeSearches }

func (f slowSearches) Search(ctx context.Context, t fhir.Type, query string) (searchset.Answer, error) {
	select {
	case <-time.After(20 * time.Second):
		return f.fakeSearches.Search(ctx, t, query)
	case <-ctx.Done():
		return searchset.Answer{}, ctx.Err()
	}
}

func (f slowSearches) Page(ctx context.Context, _ fhir.Type, query string) (searchset.Answer, error) {
	return f.Search(ctx, 0, query)
}

// TestConcurrentSearches checks that a client with slow searches waits for a slot without
// delaying other clients.
func TestConcurrentSearches(t *testing.T) {
	t.Attr("requirements", "RL-04")
	synctest.Test(t, func(t *testing.T) {
		observer := &countingObserver{}
		config := testConfig(t, &fakeExports{})
		config.Searches, config.Limits.Searches, config.Observer = slowSearches{}, 2, observer
		s, err := New(config)
		if err != nil {
			t.Fatal(err)
		}
		// send sends a search, and returns its status and how long it took.
		send := func(ctx context.Context, from, path string) (int, time.Duration) {
			r := httptest.NewRequestWithContext(ctx, "GET", "/api/v1/fhir/"+path, nil)
			r.RemoteAddr = from + ":1"
			w, start := httptest.NewRecorder(), time.Now()
			s.ServeHTTP(w, r)
			return w.Code, time.Since(start)
		}
		first, leave := context.WithCancel(t.Context())
		for range 2 {
			go send(first, "192.0.2.1", "Practitioner?name=a")
		}
		synctest.Wait()
		if status, took := send(t.Context(), "192.0.2.1", "?_getpages=x"); status != 429 || took != searchWait || observer.refused[RefusedSearch] != 1 {
			t.Errorf("a third search: %d after %v, refused: %v", status, took, observer.refused)
		}
		if status, took := send(t.Context(), "192.0.2.1", "Practitioner/1"); status != 200 || took != 0 {
			t.Errorf("a read beside the searches: %d after %v", status, took)
		}
		if status, took := send(t.Context(), "192.0.2.2", "Practitioner?name=a"); status != 200 || took != 20*time.Second {
			t.Errorf("another client's search: %d after %v", status, took)
		}
		for range 2 {
			go send(first, "192.0.2.1", "Practitioner?name=a")
		}
		synctest.Wait()
		time.AfterFunc(time.Second, leave)
		if status, took := send(t.Context(), "192.0.2.1", "?_getpages=x"); status != 200 || took != 21*time.Second {
			t.Errorf("when others have ended: %d after %v", status, took)
		}
	})
}

// TestLimitsOfPolicy: the policy of a client sets its rate and its downloads, above or below those of
// all clients, and a change of it counts from the next request.
func TestLimitsOfPolicy(t *testing.T) {
	t.Attr("requirements", "RL-04")
	clock := testkit.NewClock(time.Date(2026, 3, 1, 9, 30, 0, 0, time.UTC))
	slow, fast, usual := known("slow", auth.Read), known("fast", auth.Read), known("usual", auth.Read)
	slow.Policy, fast.Policy = auth.Policy{Rate: 0.5, Downloads: 1}, auth.Policy{Rate: 4, Downloads: 3}
	tokens := fakeTokens{"slow": slow, "fast": fast, "remembered": usual}
	u := startServer(t, func(c *Config) {
		c.Now, c.Authenticator = clock.Now, tokens
		c.Limits = Limits{Rate: 1, Burst: 100, Downloads: 2}
	})
	served := func(token string) (n int) {
		for ; n < 200; n++ {
			r := u.request("GET", "/api/v1/fhir/Practitioner/1", "", "Authorization: Bearer "+token)
			if r.StatusCode == 429 {
				return n
			}
			u.wantStatus(r, 200, "")
		}
		return n
	}
	for token, want := range map[string]int{"slow": 1, "fast": 8, "remembered": 100} {
		if got := served(token); got != want {
			t.Errorf("%s: %d requests at once, want %d", token, got, want)
		}
		clock.Add(time.Hour)
	}
	slow.Policy.Rate = 2
	tokens["slow"] = slow
	if got := served("slow"); got < 1 || got > 4 {
		t.Errorf("after a change: %d requests at once", got)
	}
	clock.Add(time.Hour)
	if got := served("slow"); got != 4 {
		t.Errorf("an hour after a change: %d requests at once, want 4", got)
	}
	for _, c := range []struct {
		policy auth.Policy
		want   int
	}{{slow.Policy, 1}, {fast.Policy, 3}, {usual.Policy, 2}} {
		if got := (Limits{Downloads: 2}).of(c.policy).Downloads; got != c.want {
			t.Errorf("%+v: %d downloads, want %d", c.policy, got, c.want)
		}
	}
}

// TestDownloadsOfPolicy: a client whose policy allows one download gets no second one meanwhile.
func TestDownloadsOfPolicy(t *testing.T) {
	t.Attr("requirements", "RL-04")
	one := known("one", auth.Export)
	one.Policy.Downloads = 1
	u := startServer(t, func(c *Config) {
		c.Authenticator, c.Limits.Downloads = fakeTokens{"one": one, "remembered": known("usual", auth.Export)}, 2
	})
	const path = "/api/v1/fhir/Binary/" + knownFile
	open := storedFile(t, ndjsonOfSize(3))
	for token, want := range map[string]int{"one": 429, "remembered": 200} {
		inner := 0
		u.fake.file = func() (*export.File, error) { // a download is open when the second begins
			if inner == 0 {
				inner = 1
				inner = u.request("GET", path, "", "Authorization: Bearer "+token).StatusCode
			}
			return open()
		}
		u.wantStatus(u.request("GET", path, "", "Authorization: Bearer "+token), 200, "")
		if inner != want {
			t.Errorf("%s: a second download is answered %d, want %d", token, inner, want)
		}
	}
}
