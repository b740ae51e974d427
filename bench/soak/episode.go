package soak

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"muster/internal/failpoint"
	"muster/internal/testkit"

	"golang.org/x/sync/errgroup"
)

// sweepEvery is the janitor's period in an episode.
const sweepEvery = 300 * time.Millisecond

// lease is how long work stays with a server that does not stir.
const lease = time.Second

// serveArgs make an export of many small parts, and a janitor that comes often.
var serveArgs = []string{"--part-bytes", "30000", "--sweep-every", sweepEvery.String(), "--jobs", "0", "--lease", lease.String()}

// scenario is one directory, from its making on: some kills, and the reckoning.
type scenario struct {
	env     *Env
	report  *KillsReport
	random  func(actor uint64) *rand.Rand
	history *History
	checker *checker
	all     []Name

	quota  atomic.Int64 // kills to come
	loaded atomic.Bool  // a first load was acknowledged: nothing may refuse to start now
	server [2]atomic.Pointer[testkit.Server]
	cuts   atomic.Int64 // connections to the database that were cut

	mu         sync.Mutex
	jobs       map[string]*request // by id
	unanswered []string            // what kick-offs without an answer had as _since
}

// request is an export that a client has started.
type request struct {
	since     string
	expected  map[Name]Expectation
	cancelled bool   // a DELETE was sent
	manifest  string // once complete
}

func newScenario(g *Env, report *KillsReport, kills int, random func(uint64) *rand.Rand) *scenario {
	l := NewHistory()
	e := &scenario{env: g, report: report, random: random, history: l, checker: newChecker(l), jobs: map[string]*request{},
		all: slices.Concat(names("Practitioner", "p", 1000), names("Location", "l", 200))}
	e.quota.Store(int64(kills))
	return e
}

func (e *scenario) run(ctx context.Context) error {
	chaos, stop := context.WithCancel(ctx)
	defer stop()
	group, chaos := errgroup.WithContext(chaos)
	killers := []func() error{
		func() error { return e.serve(chaos, e.random(1), 0) },
		func() error { return e.load(chaos, e.random(2)) },
	}
	if e.env.Database != "" {
		killers = append(killers,
			func() error { return e.serve(chaos, e.random(4), 1) },
			func() error { return e.cutConnections(chaos, e.random(5)) })
	}
	var killing sync.WaitGroup
	killing.Add(len(killers))
	for _, k := range killers {
		group.Go(func() error { defer killing.Done(); return k() })
	}
	go func() { killing.Wait(); stop() }() // the client ends when the killing does
	group.Go(func() error { return e.client(chaos, e.random(3)) })
	if err := group.Wait(); err != nil {
		return err
	}
	return e.verify(ctx)
}

// more tells whether there are kills to come.
func (e *scenario) killsLeft(ctx context.Context) bool { return ctx.Err() == nil && e.quota.Load() > 0 }

// killed counts a kill.
func (e *scenario) killed(what, point string) {
	e.quota.Add(-1)
	if point == "" {
		e.report.count(e.report.Kills, what+" at a random time")
		return
	}
	e.report.count(e.report.Kills, what+" at a fault point")
	name, _, _ := strings.Cut(point, "@")
	e.report.count(e.report.Failpoints, name)
}

// fate draws how a process dies: at a fault point of its command, or after the time of
// life if it does not come there, or after a shorter time.
func (e *scenario) schedule(r *rand.Rand, command string) (point string, life time.Duration) {
	if r.IntN(2) == 0 {
		var places []string
		for _, p := range failpoint.All {
			if p.Command == command {
				places = append(places, p.Name)
			}
		}
		return fmt.Sprintf("%s@%d", places[r.IntN(len(places))], 1+r.IntN(1+r.IntN(6))), e.armedLife()
	}
	return "", time.Duration(r.Int64N(r.Int64N(int64(900*time.Millisecond)) + 1))
}

// armedLife is how long a process may take to come to its fault point.
func (e *scenario) armedLife() time.Duration {
	if e.env.Database != "" {
		return 2500 * time.Millisecond // every step is a round trip, and commits wait for each other
	}
	return 1200 * time.Millisecond
}

// serve starts servers at an address and kills them, one after the other. Some stand
// still beyond their lease first, and come back.
func (e *scenario) serve(ctx context.Context, r *rand.Rand, at int) error {
	for e.killsLeft(ctx) {
		point, life := e.schedule(r, "serve")
		made, cuts := e.loaded.Load(), e.cuts.Load()
		s, err := e.env.StartServer(at, point, serveArgs...)
		if err != nil {
			return err
		}
		e.server[at].Store(s)
		if point == "" && r.IntN(8) == 0 {
			if err := e.pause(ctx, r, s.Process, life); err != nil {
				return err
			}
		}
		if err := e.await(ctx, s.Process, "server", point, life); err != nil && made && e.cuts.Load() == cuts {
			return err
		}
	}
	return nil
}

// pause lets a server stand still beyond its lease.
func (e *scenario) pause(ctx context.Context, r *rand.Rand, p *testkit.Process, life time.Duration) error {
	pause(ctx, r, life+1)
	err := p.Stop()
	if err == nil {
		time.Sleep(lease + time.Duration(r.Int64N(int64(lease))))
		err = p.Continue()
	}
	if errors.Is(err, os.ErrProcessDone) {
		return nil // it was ending, or had ended: why is looked at then
	}
	e.report.paused()
	return err
}

// cut ends connections to the database, whoever's they are.
func (e *scenario) cutConnections(ctx context.Context, r *rand.Rand) error {
	db, err := sql.Open("pgx", e.env.Database)
	if err != nil {
		return err
	}
	defer db.Close()
	for e.killsLeft(ctx) {
		pause(ctx, r, 1500*time.Millisecond)
		e.cuts.Add(1) // before it happens: what it breaks may be seen at once
		var n int
		err := db.QueryRowContext(context.WithoutCancel(ctx), `SELECT count(pg_terminate_backend(pid)) FROM (SELECT pid FROM pg_stat_activity
			WHERE datname = current_database() AND pid <> pg_backend_pid() ORDER BY md5(pid::text || $1) LIMIT $2) AS unlucky`, fmt.Sprint(r.Uint64()), 1+r.IntN(3)).Scan(&n)
		if err != nil {
			return err
		}
		e.cuts.Add(1)
		if n > 0 {
			e.killed("connections of anybody", "")
		}
	}
	return nil
}

// await waits until the process has died at its fault point, or kills it at the end of
// its life. A process that ended by itself is an error.
func (e *scenario) await(ctx context.Context, p *testkit.Process, what, point string, life time.Duration) error {
	select {
	case <-p.Exited():
	case <-time.After(life):
		point = ""
		p.Kill()
	case <-ctx.Done():
		p.Kill()
		return nil
	}
	if !p.Killed() {
		return fmt.Errorf("a %s ended by itself with code %d:\n%s", what, p.ExitCode(), tail(p.Log()))
	}
	e.killed(what, point)
	for _, w := range warnings(p.Log()) {
		e.report.count(e.report.Warnings, message(w))
	}
	return nil
}

// message is what a log line tells, without the moment and the job.
func message(line string) string {
	_, rest, _ := strings.Cut(line, "level=")
	text, details, _ := strings.Cut(rest, " job=")
	if _, err, found := strings.Cut(details, "error="); found {
		text += " error=" + err
	}
	text, _, _ = strings.Cut(text, `\n`) // of joined errors the first
	return numbers.ReplaceAllString(text, "…")
}

// numbers are ids and counts.
var numbers = regexp.MustCompile(`[0-9a-f-]{36}|[0-9]+`)

// load loads one set of lines after the other, and repeats what was interrupted until it
// is acknowledged.
func (e *scenario) load(ctx context.Context, r *rand.Rand) error {
	for first := true; first || e.killsLeft(ctx); first = false {
		some := e.all
		if !first && r.IntN(5) > 0 {
			some = pick(r, e.all, 1+r.IntN(100))
		}
		var lines []string
		for n, name := range some {
			lines = append(lines, e.history.Put(name, !first && n%4 == 0 && name.ID[len(name.ID)-1] == '7' && r.IntN(3) == 0))
		}
		if err := e.loadUntilDone(ctx, r, lines, first); err != nil {
			return err
		}
		e.history.Acknowledge(some...)
		e.loaded.Store(true)
	}
	return nil
}

// initFailpoints are the fault points that only the first load of a directory passes.
var initFailpoints = []string{"directory.migrate", "directory.migrated", "jobs.migrate"}

// loadUntilDone repeats a load until it ends by itself. The first one makes the directory,
// and is killed in the middle of that more often than not.
func (e *scenario) loadUntilDone(ctx context.Context, r *rand.Rand, lines []string, first bool) error {
	for try := 0; ; try++ {
		point, life := "", testkit.Patience
		if try < 5 && e.killsLeft(ctx) && r.IntN(3) > 0 {
			if point, life = e.schedule(r, "load"); point == "" {
				life /= 4 // loads are short
			}
			if first && r.IntN(2) == 0 {
				point, life = initFailpoints[r.IntN(len(initFailpoints))], e.armedLife()
			}
		}
		cuts := e.cuts.Load()
		p, err := e.env.StartLoad(point, lines)
		if err != nil {
			return err
		}
		select {
		case <-p.Exited():
		case <-time.After(life):
			point = ""
			p.Kill()
		}
		switch {
		case life == testkit.Patience && p.Killed():
			return fmt.Errorf("a load does not end:\n%s", p.Log())
		case p.Killed():
			e.killed("loader", point)
			e.report.count(e.report.Loads, "killed and repeated")
		case p.ExitCode() != 0 && e.cuts.Load() > cuts:
			e.report.count(e.report.Loads, "cut off and repeated")
		case p.ExitCode() != 0:
			return fmt.Errorf("a load ended with code %d:\n%s", p.ExitCode(), p.Log())
		default:
			e.report.count(e.report.Loads, "acknowledged")
			return nil
		}
	}
}

// client starts, polls, downloads and cancels exports on whatever server is there.
func (e *scenario) client(ctx context.Context, r *rand.Rand) error {
	for ctx.Err() == nil {
		s := e.server[0].Load()
		if other := e.server[1].Load(); other != nil && r.IntN(2) == 0 {
			s = other
		}
		if s == nil {
			pause(ctx, r, 20*time.Millisecond)
			continue
		}
		live := e.live()
		switch {
		case len(live) < 6:
			e.kickOff(s, r)
		case r.IntN(12) == 0:
			e.cancel(ctx, s, live[r.IntN(len(live))])
		}
		for _, id := range live {
			// Whatever else is answered now is judged when all is calm.
			if _, err := e.poll(ctx, s, id); err != nil {
				return err
			}
		}
		pause(ctx, r, 40*time.Millisecond)
	}
	return nil
}

// live returns the ids of the jobs that are not known to have ended.
func (e *scenario) live() (ids []string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for id, a := range e.jobs {
		if a.manifest == "" && !a.cancelled {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// kickOff starts a full export, or a delta since the time of one that is complete.
func (e *scenario) kickOff(s *testkit.Server, r *rand.Rand) {
	since := ""
	if times := e.checker.times(); len(times) > 0 && r.IntN(2) == 0 {
		since = times[r.IntN(len(times))]
	}
	dues := e.history.Expectations(since != "")
	start := time.Now()
	status, err := s.KickOff(testkit.Parameters(since, Filters...))
	e.mu.Lock()
	defer e.mu.Unlock()
	if err != nil {
		e.unanswered = append(e.unanswered, since) // it may exist, its client does not know
		return
	}
	e.report.record(&e.report.Answers, time.Since(start))
	_, id, _ := strings.Cut(status, "_jobId=")
	e.jobs[id] = &request{since: since, expected: dues}
}

// cancel deletes a job.
func (e *scenario) cancel(ctx context.Context, s *testkit.Server, id string) {
	e.mu.Lock()
	e.jobs[id].cancelled = true
	e.mu.Unlock()
	_ = deleteJob(ctx, statusURL(s, id)) // with or without an answer
}

func statusURL(s *testkit.Server, id string) string {
	return s.Base + "/$export-poll-status?_jobId=" + id
}

// answer is what a poll said.
type answer struct {
	status int // 0 for none
	body   string
}

// poll asks for a job, and takes in what a complete one holds. A server that is gone is no
// error; one that does not answer is.
func (e *scenario) poll(ctx context.Context, s *testkit.Server, id string) (answer, error) {
	asking, cancel := context.WithTimeout(context.WithoutCancel(ctx), testkit.Patience)
	defer cancel()
	body, status, err := testkit.Fetch(asking, statusURL(s, id), nil)
	if asking.Err() != nil {
		return answer{}, fmt.Errorf("a poll of job %s hangs", id)
	}
	if err != nil {
		return answer{}, nil
	}
	a := answer{status, string(body)}
	if status != 200 {
		return a, nil
	}
	err = e.download(asking, s, id, a.body)
	if errors.As(err, new(interrupted)) {
		return a, nil
	}
	// A server whose connections were cut says so for a moment.
	if no, ok := errors.AsType[errorAnswer](err); ok && no.status >= 500 && ctx.Value(calm{}) == nil && e.cuts.Load() > 0 {
		return a, nil
	}
	return a, err
}

// calm is the key of a context in which nothing is killed any more.
type calm struct{}

// take downloads the files of a complete job and gives them to the judge, once. A
// download that breaks off because the server died is tried again with the next poll.
func (e *scenario) download(ctx context.Context, s *testkit.Server, id, manifest string) error {
	e.mu.Lock()
	job := e.jobs[id]
	if job == nil { // its kick-off had no answer
		job = &request{}
		e.jobs[id] = job
	}
	sinces := []string{job.since}
	if job.expected == nil {
		sinces = e.unanswered
	}
	before := job.manifest
	e.mu.Unlock()
	if before != "" {
		if before != manifest {
			return fmt.Errorf("the manifest of job %s changed from\n%s\nto\n%s", id, before, manifest)
		}
		return nil
	}
	m, err := testkit.ReadManifest([]byte(manifest))
	if err != nil {
		return fmt.Errorf("the manifest of job %s: %w", id, err)
	}
	until, err := time.Parse(time.RFC3339Nano, m.TransactionTime)
	if err != nil {
		return fmt.Errorf("the manifest of job %s: %w", id, err)
	}
	lines, err := Download(ctx, s, m)
	if err != nil {
		return fmt.Errorf("job %s: %w", id, err)
	}
	e.mu.Lock()
	job.manifest = manifest
	e.mu.Unlock()
	return e.checker.add(result{job: id, sinces: sinces, text: m.TransactionTime, until: until, expected: job.expected}, lines)
}
