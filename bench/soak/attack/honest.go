package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"muster/bench/soak"
	"muster/internal/testkit"
)

// honest is the client whose service must not suffer. It waits as long as the server asks, and
// deletes its exports. Its requests begin at fixed times, whether earlier ones are answered
// or not, so that a server that stalls is not asked less.
type honest struct {
	*stage
	kept   *http.Client // keeps its connections
	fresh  *http.Client // opens a connection for each request
	header []string     // of each request
	names  []string     // of resources, such as Location/l1

	choosing sync.Mutex
	random   *rand.Rand

	reads, searches, exports, polls, probes, metrics series
}

// series are the answers to one kind of request. Safe for use by several goroutines.
type series struct {
	mu       sync.Mutex
	took     []time.Duration   // of the good answers
	refused  map[string]int    // other answers, by status
	examples map[string]string // the first of each status
}

// good records a good answer.
func (s *series) good(took time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.took = append(s.took, took)
}

// bad records another answer.
func (s *series) bad(kind, example string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refused == nil {
		s.refused, s.examples = map[string]int{}, map[string]string{}
	}
	if s.refused[kind]++; s.refused[kind] == 1 {
		s.examples[kind] = fmt.Sprintf("%.300s", example)
	}
}

// record records an answer, which is good with one of the statuses.
func (s *series) record(what string, got answer, took time.Duration, good ...int) {
	if slices.Contains(good, got.status) {
		s.good(took)
		return
	}
	s.bad(got.text(), fmt.Sprintf("%s after %v: %s %s", what, took.Round(time.Millisecond), got.text(), got.body))
}

// failures describes the answers that are not good, or is empty. Those that may be excused
// are counted only if they are more than the share.
func (s *series) failures(excused string, share float64) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	bad := maps.Clone(s.refused)
	total := soak.Total(bad) + len(s.took)
	if float64(bad[excused]) <= share*float64(total) {
		delete(bad, excused)
	}
	if len(bad) == 0 {
		return ""
	}
	var first []string
	for _, kind := range slices.Sorted(maps.Keys(bad)) {
		first = append(first, s.examples[kind])
	}
	return fmt.Sprintf("%d of %d (%s), such as: %s", soak.Total(bad), total, soak.Counts(bad), strings.Join(first, "; "))
}

func (s *series) quantile(q float64) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return soak.Quantile(s.took, q)
}

func (s *series) len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.took)
}

// newHonest returns the honest client, which knows a number of resources.
func newHonest(s *stage) (*honest, error) {
	from := honestAddress
	h := &honest{stage: s, random: rand.New(rand.NewPCG(s.options.seed, 0))}
	if s.throughProxy {
		from, h.header = proxyAddress, []string{"X-Forwarded-For", honestClient + ":4711"}
	}
	h.kept, h.fresh = s.client(from, false), s.client(from, true)
	for _, typ := range []string{"Practitioner", "PractitionerRole", "Organization", "Location"} {
		names, err := h.find(typ + "?_lastUpdated=ge1900-01-01")
		if err != nil {
			return nil, err
		}
		h.names = append(h.names, names...)
	}
	return h, nil
}

// find returns the names of the matches of a search.
func (h *honest) find(search string) (names []string, err error) {
	got := request(context.Background(), h.kept, http.MethodGet, h.base+"/"+search, "", h.header...)
	if got.status != http.StatusOK {
		return nil, fmt.Errorf("GET %s: %s: %s", search, got.text(), got.body)
	}
	var bundle struct{ Entry []struct{ FullURL string } }
	if err := json.Unmarshal(got.body, &bundle); err != nil {
		return nil, err
	}
	for _, e := range bundle.Entry {
		if name, ok := strings.CutPrefix(e.FullURL, h.base+"/"); ok {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("GET %s finds nothing", search)
	}
	return names, nil
}

// run sends requests until ctx ends, and returns when all are answered.
func (h *honest) run(ctx context.Context) {
	var running sync.WaitGroup
	running.Go(func() { every(ctx, 100*time.Millisecond, 100, func() { h.read(h.kept) }, &h.reads) })
	running.Go(func() { every(ctx, 100*time.Millisecond, 100, func() { h.read(h.fresh) }, &h.reads) })
	running.Go(func() { every(ctx, 500*time.Millisecond, 20, h.search, &h.searches) })
	running.Go(func() { every(ctx, time.Second, 20, h.probe, &h.probes) })
	running.Go(func() { every(ctx, 2*time.Second, 3, h.export, &h.exports) })
	running.Wait()
}

// every calls do at an interval until ctx ends, and waits for the calls. A call that would
// be one too many at a time is a bad answer of the series.
func every(ctx context.Context, interval time.Duration, most int, do func(), into *series) {
	var running sync.WaitGroup
	defer running.Wait()
	slots := make(chan struct{}, most)
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for ctx.Err() == nil {
		select {
		case slots <- struct{}{}:
			running.Go(func() { defer func() { <-slots }(); do() })
		default:
			into.bad("not sent", fmt.Sprintf("%d are not answered yet", most))
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

// choose chooses a number below n.
func (h *honest) choose(n int) int {
	h.choosing.Lock()
	defer h.choosing.Unlock()
	return h.random.IntN(n)
}

// get sends a request of the honest client.
func (h *honest) get(client *http.Client, url string) (answer, time.Duration) {
	start := time.Now()
	got := request(context.Background(), client, http.MethodGet, url, "", h.header...)
	return got, time.Since(start)
}

func (h *honest) read(client *http.Client) {
	name := h.names[h.choose(len(h.names))]
	got, took := h.get(client, h.base+"/"+name)
	h.reads.record(name, got, took, http.StatusOK)
}

// pages are searches of one page, as users send them.
var pages = []string{
	"Organization?address-state=VIC",
	"Location?address-city=Balmain",
	"PractitionerRole?location.address-state=QLD&_total=none",
	"Practitioner?name=Lee",
	"Practitioner?_has:PractitionerRole:practitioner:location.address-city=Sydney",
}

func (h *honest) search() {
	search := pages[h.choose(len(pages))]
	got, took := h.get(h.kept, h.base+"/"+search)
	h.searches.record(search, got, took, http.StatusOK)
}

// probe asks what monitoring asks, on a fresh connection.
func (h *honest) probe() {
	for _, path := range []string{"/healthz", "/readyz"} {
		got, took := h.get(h.fresh, h.root()+path)
		h.probes.record(path, got, took, http.StatusOK)
	}
	if !h.proxy { // behind one, metrics have a listener of their own
		got, took := h.get(h.fresh, h.root()+"/metrics")
		h.metrics.record("/metrics", got, took, http.StatusOK)
	}
}

// longestExport is how long the honest client waits for its export.
const longestExport = 30 * time.Second

// export exports one resource, from the kick-off to its file, and deletes the job.
func (h *honest) export() {
	start := time.Now()
	name := h.names[h.choose(len(h.names))]
	typ, id, _ := strings.Cut(name, "/")
	got := h.kickOff(testkit.Parameters("", typ+"?_id="+id))
	if got.status != http.StatusAccepted {
		h.exports.record("kick-off", got, time.Since(start))
		return
	}
	status := got.header.Get("Content-Location")
	manifest, ok := h.await(status, start)
	if !ok {
		return
	}
	for _, o := range manifest.Output {
		got, _ = h.get(h.fresh, o.URL)
		if got.status != http.StatusOK || bytes.Count(got.body, []byte("\n")) != 1 {
			h.exports.record("download", got, time.Since(start))
			return
		}
	}
	if len(manifest.Output) != 1 {
		h.exports.bad("wrong", fmt.Sprintf("the export of %s has %d files", name, len(manifest.Output)))
		return
	}
	h.exports.good(time.Since(start))
	if got = request(context.Background(), h.kept, http.MethodDelete, status, "", h.header...); got.status != http.StatusAccepted {
		h.exports.record("DELETE", got, time.Since(start))
	}
}

func (h *honest) kickOff(body string) answer {
	return request(context.Background(), h.kept, http.MethodPost, h.base+"/$export", body, slices.Concat(h.header, kickOffHeader)...)
}

// kickOffHeader is the header of a kick-off.
var kickOffHeader = []string{"Content-Type", "application/fhir+json", "Accept", "application/fhir+json", "Prefer", "respond-async"}

// await polls until the export is complete, as often as it may.
func (h *honest) await(status string, start time.Time) (m testkit.Manifest, ok bool) {
	for {
		got, took := h.get(h.kept, status)
		h.polls.record("poll", got, took, http.StatusOK, http.StatusAccepted)
		switch got.status {
		case http.StatusOK:
			m, err := testkit.ReadManifest(got.body)
			if err != nil {
				h.exports.bad("wrong", err.Error())
			}
			return m, err == nil
		case http.StatusAccepted:
		default:
			h.exports.record("poll", got, time.Since(start))
			return m, false
		}
		wait := retryAfter(got)
		if time.Since(start)+wait > longestExport {
			h.exports.bad("late", fmt.Sprintf("not complete after %v, Retry-After %v: %s", time.Since(start).Round(time.Millisecond), wait, got.header.Get("X-Progress")))
			h.deleteLater(status)
			return m, false
		}
		time.Sleep(wait)
	}
}

// deleteLater deletes an export for which the client does not wait any more.
func (h *honest) deleteLater(status string) {
	_ = request(context.Background(), h.kept, http.MethodDelete, status, "", h.header...)
}

// retryAfter returns how long a client should wait.
func retryAfter(got answer) time.Duration {
	seconds, err := strconv.Atoi(got.header.Get("Retry-After"))
	if err != nil {
		return time.Second
	}
	return time.Duration(seconds) * time.Second
}
