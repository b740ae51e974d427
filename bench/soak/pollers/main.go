// Command pollers lets hundreds of clients poll while exports run, against a real server
// on this machine, and says whether the server keeps its promise: no error but 429, a poll
// answered within 100 ms in 99 of 100 cases, every export complete and whole.
//
//	go run ./bench/soak/pollers                            a minute on SQLite
//	go run ./bench/soak/pollers -database postgres://…     on an empty PostgreSQL database
//
// All traffic goes to 127.0.0.1 and ends with the run. The exit code is 1 when the promise
// is broken. Clients and server share the machine, so the figures are those of a server
// with much less than the whole of it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"muster/internal/testkit"
)

// options say how much there is of everything.
type options struct {
	database string
	scale    string
	pollers  int
	exports  int
	lasting  time.Duration
	pause    time.Duration
}

func main() {
	var o options
	flag.StringVar(&o.database, "database", "", "URL of an empty PostgreSQL database; SQLite without it")
	flag.StringVar(&o.scale, "scale", "2", "size of the directory, as for muster generate")
	flag.IntVar(&o.pollers, "pollers", 500, "clients that poll")
	flag.IntVar(&o.exports, "exports", 20, "exports that run at once")
	flag.DurationVar(&o.lasting, "for", time.Minute, "how long")
	flag.DurationVar(&o.pause, "pause", time.Second, "between two polls of one client")
	flag.Parse()
	ok, err := run(o)
	if err != nil {
		fmt.Fprintln(os.Stderr, "pollers:", err)
	}
	if err != nil || !ok {
		os.Exit(1)
	}
}

// run makes the directory, serves it, lets the clients loose and judges.
func run(o options) (ok bool, err error) {
	dir, err := os.MkdirTemp("", "muster-pollers")
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	server, total, err := serve(o, dir)
	if err != nil {
		return false, err
	}
	defer server.Kill()
	c := newCrowd(o, server, total)
	if err := c.run(); err != nil {
		return false, fmt.Errorf("%w\n%s", err, tail(server.Log(), 2000))
	}
	return c.report(os.Stdout), nil
}

// serve starts the real program over a synthetic directory, and returns how many resources
// an export of everything holds.
func serve(o options, dir string) (*testkit.Server, int, error) {
	program, err := testkit.Build(dir)
	if err != nil {
		return nil, 0, err
	}
	resources, where := filepath.Join(dir, "synthetic"), []string{"--data", filepath.Join(dir, "data")}
	if o.database != "" {
		where = append(where, "--database", o.database)
	}
	if _, err := program.Run("generate", "--scale", o.scale, "--out", resources); err != nil {
		return nil, 0, err
	}
	if _, err := program.Run(append(append([]string{"load"}, where...), resources)...); err != nil {
		return nil, 0, err
	}
	address, err := testkit.FreeAddress()
	if err != nil {
		return nil, 0, err
	}
	// All clients come from one address here and are one principal: what limits one client is
	// lifted, what limits polls is not.
	server, err := program.StartServer(address, "", append(where, "--poll-limit", "enforce", "--jobs", "0", "--rate", "0", "--part-bytes", "4194304")...)
	if err != nil {
		return nil, 0, err
	}
	if err := server.Ready(); err != nil {
		server.Kill()
		return nil, 0, err
	}
	total, err := countAll(server)
	if err != nil {
		server.Kill()
		return nil, 0, fmt.Errorf("the first export: %w", err)
	}
	return server, total, nil
}

// everything asks for all resources of the types that a directory has most of.
var everything = testkit.Parameters("",
	"Practitioner?_lastUpdated=ge1900-01-01", "PractitionerRole?_lastUpdated=ge1900-01-01", "Organization?_lastUpdated=ge1900-01-01",
	"HealthcareService?_lastUpdated=ge1900-01-01", "Location?_lastUpdated=ge1900-01-01")

// countAll runs one export alone.
func countAll(server *testkit.Server) (int, error) {
	status, err := server.KickOff(everything)
	if err != nil {
		return 0, err
	}
	for range 600 {
		body, code, err := testkit.Fetch(context.Background(), status, nil)
		if err != nil {
			return 0, err
		}
		switch code {
		case http.StatusOK:
			return countOf(body)
		case http.StatusAccepted, http.StatusTooManyRequests:
			time.Sleep(time.Second)
		default:
			return 0, fmt.Errorf("a poll ended with %d: %s", code, body)
		}
	}
	return 0, errors.New("it does not end")
}

func countOf(manifest []byte) (n int, err error) {
	m, err := testkit.ReadManifest(manifest)
	for _, f := range m.Output {
		n += f.Count
	}
	return n, err
}

// crowd are the clients and what they met.
type crowd struct {
	options
	server *testkit.Server
	total  int
	client *http.Client

	jobs []atomic.Pointer[string] // status URL of each export that runs

	mu       sync.Mutex
	took     []time.Duration
	byStatus map[int]int
	problems []string
	finished int
}

func newCrowd(o options, server *testkit.Server, total int) *crowd {
	transport := &http.Transport{MaxIdleConns: o.pollers + o.exports, MaxIdleConnsPerHost: o.pollers + o.exports, DisableCompression: true}
	return &crowd{options: o, server: server, total: total, client: &http.Client{Transport: transport, Timeout: 30 * time.Second},
		jobs: make([]atomic.Pointer[string], o.exports), byStatus: map[int]int{}}
}

// run lasts as long as it is to, and then until the exports under way have ended.
func (c *crowd) run() error {
	for n := range c.jobs {
		if err := c.kickOff(n); err != nil {
			return err
		}
	}
	end := time.Now().Add(c.lasting)
	var all sync.WaitGroup
	for n := range c.jobs {
		all.Go(func() { c.keepExporting(n, end) })
	}
	for n := range c.pollers {
		all.Go(func() { c.keepPolling(n, end) })
	}
	all.Wait()
	c.client.CloseIdleConnections()
	return nil
}

func (c *crowd) kickOff(n int) error {
	status, err := c.server.KickOff(everything)
	if err != nil {
		return err
	}
	c.jobs[n].Store(&status)
	return nil
}

// longestWait is how long who waits for an export waits at most between two polls, whatever
// the server asks for: an early poll costs a 429.
const longestWait = 5 * time.Second

// keepExporting waits for one export after the other: where one has ended the next
// begins. The last may take two minutes more than the run.
func (c *crowd) keepExporting(n int, end time.Time) {
	for time.Now().Before(end.Add(2 * time.Minute)) {
		wait, body, code := c.poll(*c.jobs[n].Load())
		if code != http.StatusOK {
			time.Sleep(min(max(wait, 100*time.Millisecond), longestWait))
			continue
		}
		if got, err := countOf(body); err != nil || got != c.total {
			c.problem(fmt.Sprintf("an export has %d resources, want %d (%v)", got, c.total, err))
		}
		c.mu.Lock()
		c.finished++
		c.mu.Unlock()
		if time.Now().After(end) {
			return
		}
		if err := c.kickOff(n); err != nil {
			c.problem(err.Error())
			return
		}
	}
	c.problem("an export does not end")
}

// keepPolling is one client: it asks at its own pace, whatever it is told.
func (c *crowd) keepPolling(n int, end time.Time) {
	time.Sleep(c.pause * time.Duration(n) / time.Duration(c.pollers)) // not all at once
	for time.Now().Before(end) {
		start := time.Now()
		c.poll(*c.jobs[n%len(c.jobs)].Load())
		time.Sleep(c.pause - time.Since(start))
	}
}

// poll asks once and notes what came. The wait is what the server asks for.
func (c *crowd) poll(status string) (wait time.Duration, body []byte, code int) {
	start := time.Now()
	response, err := c.client.Get(status)
	if err == nil {
		body, err = io.ReadAll(response.Body)
		_ = response.Body.Close()
	}
	took := time.Since(start)
	if err != nil {
		c.problem(err.Error())
		return 0, nil, 0
	}
	seconds, err := strconv.Atoi(response.Header.Get("Retry-After"))
	switch code = response.StatusCode; {
	case err != nil || response.Header.Get("X-Progress") == "":
		c.problem(fmt.Sprintf("an answer %d without Retry-After or X-Progress", code))
	case code != http.StatusOK && code != http.StatusAccepted && code != http.StatusTooManyRequests:
		c.problem(fmt.Sprintf("an answer %d: %.300s", code, body))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.took = append(c.took, took)
	c.byStatus[code]++
	return time.Duration(seconds) * time.Second, body, code
}

// mostProblems is how many are kept; the first ones tell enough.
const mostProblems = 20

func (c *crowd) problem(text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.problems) < mostProblems {
		c.problems = append(c.problems, text)
	}
}

// slowest is how long a poll may take in 99 of 100 cases.
const slowest = 100 * time.Millisecond

// report prints the figures and says whether the promise was kept.
func (c *crowd) report(w io.Writer) bool {
	slices.Sort(c.took)
	at := func(share float64) time.Duration {
		if len(c.took) == 0 {
			return 0
		}
		return c.took[min(len(c.took)-1, int(share*float64(len(c.took))))]
	}
	store := "SQLite"
	if c.database != "" {
		store = "PostgreSQL"
	}
	fmt.Fprintf(w, "%s: %d clients, %d exports of %d resources at once, %v: %d exports complete\n", store, c.pollers, c.exports, c.total, c.lasting, c.finished)
	fmt.Fprintf(w, "%d polls (202: %d, 200: %d, 429: %d): p50 %v, p90 %v, p99 %v, p99.9 %v, worst %v\n", len(c.took), c.byStatus[202], c.byStatus[200], c.byStatus[429],
		at(0.5).Round(10*time.Microsecond), at(0.9).Round(10*time.Microsecond), at(0.99).Round(10*time.Microsecond), at(0.999).Round(10*time.Microsecond), at(1).Round(10*time.Microsecond))
	if load, err := os.ReadFile("/proc/loadavg"); err == nil { // on a busy machine the figures are the machine's
		fmt.Fprintf(w, "load of the machine: %.14s on %d processors\n", load, runtime.NumCPU())
	}
	for _, p := range c.problems {
		fmt.Fprintln(w, "PROBLEM:", p)
	}
	kept := len(c.problems) == 0
	if p99 := at(0.99); p99 > slowest {
		fmt.Fprintf(w, "MISSED: p99 is %v, may be %v\n", p99, slowest)
		kept = false
	}
	return kept
}

func tail(text string, n int) string { return text[max(0, len(text)-n):] }
