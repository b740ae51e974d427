// Command pollers runs hundreds of polling clients during exports against a real server
// on this machine. It checks the promise of the server: no error except 429, 99 % of the
// polls answered within 100 ms, and every export complete.
//
//	go run ./bench/soak/pollers                            one minute on SQLite
//	go run ./bench/soak/pollers -database postgres://…     on an empty PostgreSQL database
//
// All traffic goes to 127.0.0.1 and ends with the run. The exit code is 1 when the
// promise is broken. Clients and server share the machine, so the server has only a part
// of its capacity.
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

// options are the flags of the command.
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
	flag.StringVar(&o.database, "database", "", "URL of an empty PostgreSQL database; defaults to SQLite")
	flag.StringVar(&o.scale, "scale", "2", "size of the directory, as for muster generate")
	flag.IntVar(&o.pollers, "pollers", 500, "number of polling clients")
	flag.IntVar(&o.exports, "exports", 20, "number of concurrent exports")
	flag.DurationVar(&o.lasting, "for", time.Minute, "duration of the run")
	flag.DurationVar(&o.pause, "pause", time.Second, "interval between two polls of one client")
	flag.Parse()
	ok, err := run(o)
	if err != nil {
		fmt.Fprintln(os.Stderr, "pollers:", err)
	}
	if err != nil || !ok {
		os.Exit(1)
	}
}

// run creates and serves the directory, runs the clients and reports the result.
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
	c := newClients(o, server, total)
	if err := c.run(); err != nil {
		return false, fmt.Errorf("%w\n%s", err, tail(server.Log(), 2000))
	}
	return c.report(os.Stdout), nil
}

// serve starts the real program on a synthetic directory. It returns the number of
// resources in an export of all types.
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
	// All clients have the same address and are one principal, so the limits of a client
	// are switched off. The limit of polls is not.
	server, err := program.StartServer(address, "", append(where, "--poll-limit", "enforce", "--jobs", "0", "--client-quota", "0", "--quota", "0", "--rate", "0", "--part-bytes", "4194304")...)
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

// everything is the request for all resources of the most frequent types.
var everything = testkit.Parameters("",
	"Practitioner?_lastUpdated=ge1900-01-01", "PractitionerRole?_lastUpdated=ge1900-01-01", "Organization?_lastUpdated=ge1900-01-01",
	"HealthcareService?_lastUpdated=ge1900-01-01", "Location?_lastUpdated=ge1900-01-01")

// countAll runs a single export and returns its number of resources.
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
			return 0, fmt.Errorf("a poll was answered with %d: %s", code, body)
		}
	}
	return 0, errors.New("the export does not end")
}

func countOf(manifest []byte) (n int, err error) {
	m, err := testkit.ReadManifest(manifest)
	for _, f := range m.Output {
		n += f.Count
	}
	return n, err
}

// clients are the clients and their results.
type clients struct {
	options
	server *testkit.Server
	total  int
	client *http.Client

	jobs []atomic.Pointer[string] // status URLs of the running exports

	mu       sync.Mutex
	took     []time.Duration
	byStatus map[int]int
	problems []string
	finished int
}

func newClients(o options, server *testkit.Server, total int) *clients {
	transport := &http.Transport{MaxIdleConns: o.pollers + o.exports, MaxIdleConnsPerHost: o.pollers + o.exports, DisableCompression: true}
	return &clients{options: o, server: server, total: total, client: &http.Client{Transport: transport, Timeout: 30 * time.Second},
		jobs: make([]atomic.Pointer[string], o.exports), byStatus: map[int]int{}}
}

// run runs the clients for the configured time, and then until the running exports have
// ended.
func (c *clients) run() error {
	for n := range c.jobs {
		if err := c.kickOff(n); err != nil {
			return err
		}
	}
	end := time.Now().Add(c.lasting)
	var running sync.WaitGroup
	for n := range c.jobs {
		running.Go(func() { c.keepExporting(n, end) })
	}
	for n := range c.pollers {
		running.Go(func() { c.keepPolling(n, end) })
	}
	running.Wait()
	c.client.CloseIdleConnections()
	return nil
}

func (c *clients) kickOff(n int) error {
	status, err := c.server.KickOff(everything)
	if err != nil {
		return err
	}
	c.jobs[n].Store(&status)
	return nil
}

// longestWait limits the time between two polls of an exporting client, even if the
// server requests a longer wait: an early poll is answered with 429.
const longestWait = 5 * time.Second

// keepExporting runs one export after the other. The last may take two minutes longer
// than the run.
func (c *clients) keepExporting(n int, end time.Time) {
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

// keepPolling is one client. It polls at its own interval, regardless of Retry-After.
func (c *clients) keepPolling(n int, end time.Time) {
	time.Sleep(c.pause * time.Duration(n) / time.Duration(c.pollers)) // spread the clients
	for time.Now().Before(end) {
		start := time.Now()
		c.poll(*c.jobs[n%len(c.jobs)].Load())
		time.Sleep(c.pause - time.Since(start))
	}
}

// poll polls once and records the answer. wait is the Retry-After of the answer.
func (c *clients) poll(status string) (wait time.Duration, body []byte, code int) {
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

// maxProblems is how many problems are kept; the first ones are sufficient.
const maxProblems = 20

func (c *clients) problem(text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.problems) < maxProblems {
		c.problems = append(c.problems, text)
	}
}

// slowest is the limit of the 99th percentile of polls.
const slowest = 100 * time.Millisecond

// report prints the figures and reports whether the promise was kept.
func (c *clients) report(w io.Writer) bool {
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
	fmt.Fprintf(w, "%s: %d clients, %d concurrent exports of %d resources, %v: %d exports complete\n", store, c.pollers, c.exports, c.total, c.lasting, c.finished)
	fmt.Fprintf(w, "%d polls (202: %d, 200: %d, 429: %d): p50 %v, p90 %v, p99 %v, p99.9 %v, worst %v\n", len(c.took), c.byStatus[202], c.byStatus[200], c.byStatus[429],
		at(0.5).Round(10*time.Microsecond), at(0.9).Round(10*time.Microsecond), at(0.99).Round(10*time.Microsecond), at(0.999).Round(10*time.Microsecond), at(1).Round(10*time.Microsecond))
	if load, err := os.ReadFile("/proc/loadavg"); err == nil { // a busy machine distorts the figures
		fmt.Fprintf(w, "load of the machine: %.14s on %d processors\n", load, runtime.NumCPU())
	}
	for _, p := range c.problems {
		fmt.Fprintln(w, "PROBLEM:", p)
	}
	kept := len(c.problems) == 0
	if p99 := at(0.99); p99 > slowest {
		fmt.Fprintf(w, "MISSED: p99 is %v, the limit is %v\n", p99, slowest)
		kept = false
	}
	return kept
}

func tail(text string, n int) string { return text[max(0, len(text)-n):] }
