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

// sweepEvery is the interval of the janitor.
const sweepEvery = 300 * time.Millisecond

// lease is the lease of a claim.
const lease = time.Second

// serveArgs lead to exports of many small parts and to a janitor that runs often.
var serveArgs = []string{"--part-bytes", "30000", "--sweep-every", sweepEvery.String(), "--jobs", "0", "--client-quota", "0", "--quota", "0", "--lease", lease.String()}

// scenario is the history of one directory: its creation, a number of kills, and the
// verification.
type scenario struct {
	env     *Env
	report  *KillsReport
	random  func(actor uint64) *rand.Rand
	history *History
	checker *checker
	all     []Name

	quota  atomic.Int64 // remaining kills
	loaded atomic.Bool  // the first load was acknowledged: from now on every process must start
	server [2]atomic.Pointer[testkit.Server]
	cuts   atomic.Int64 // cut database connections

	mu         sync.Mutex
	jobs       map[string]*request // by id
	unanswered []string            // the _since of kick-offs without an answer
}

// request is an export that the client has started.
type request struct {
	since     string
	expected  map[Name]Expectation
	cancelled bool   // a DELETE was sent
	manifest  string // once complete
}

func newScenario(env *Env, report *KillsReport, kills int, random func(uint64) *rand.Rand) *scenario {
	h := NewHistory()
	sc := &scenario{env: env, report: report, random: random, history: h, checker: newChecker(h), jobs: map[string]*request{},
		all: slices.Concat(names("Practitioner", "p", 1000), names("Location", "l", 200))}
	sc.quota.Store(int64(kills))
	return sc
}

func (sc *scenario) run(ctx context.Context) error {
	chaos, stop := context.WithCancel(ctx)
	defer stop()
	group, chaos := errgroup.WithContext(chaos)
	killers := []func() error{
		func() error { return sc.serve(chaos, sc.random(1), 0) },
		func() error { return sc.load(chaos, sc.random(2)) },
	}
	if sc.env.Database != "" {
		killers = append(killers,
			func() error { return sc.serve(chaos, sc.random(4), 1) },
			func() error { return sc.cutConnections(chaos, sc.random(5)) })
	}
	var killing sync.WaitGroup
	killing.Add(len(killers))
	for _, k := range killers {
		group.Go(func() error { defer killing.Done(); return k() })
	}
	go func() { killing.Wait(); stop() }() // the client stops after the last kill
	group.Go(func() error { return sc.client(chaos, sc.random(3)) })
	if err := group.Wait(); err != nil {
		return err
	}
	return sc.verify(ctx)
}

// killsLeft reports whether there are kills left.
func (sc *scenario) killsLeft(ctx context.Context) bool {
	return ctx.Err() == nil && sc.quota.Load() > 0
}

// killed counts a kill.
func (sc *scenario) killed(what, point string) {
	sc.quota.Add(-1)
	if point == "" {
		sc.report.count(sc.report.Kills, what+" at a random time")
		return
	}
	sc.report.count(sc.report.Kills, what+" at a failpoint")
	name, _, _ := strings.Cut(point, "@")
	sc.report.count(sc.report.Failpoints, name)
}

// schedule draws how a process dies: at a failpoint of its command, or after the life
// time if it does not reach the failpoint, or at a random time.
func (sc *scenario) schedule(r *rand.Rand, command string) (point string, life time.Duration) {
	if r.IntN(2) == 0 {
		var points []string
		for _, p := range failpoint.All {
			if p.Command == command {
				points = append(points, p.Name)
			}
		}
		return fmt.Sprintf("%s@%d", points[r.IntN(len(points))], 1+r.IntN(1+r.IntN(6))), sc.armedLife()
	}
	return "", time.Duration(r.Int64N(r.Int64N(int64(900*time.Millisecond)) + 1))
}

// armedLife is how long a process may take to reach its failpoint.
func (sc *scenario) armedLife() time.Duration {
	if sc.env.Database != "" {
		return 2500 * time.Millisecond // every step is a round trip, and commits wait for each other
	}
	return 1200 * time.Millisecond
}

// serve starts servers at an address and kills them, one after the other. Some are first
// paused for longer than their lease.
func (sc *scenario) serve(ctx context.Context, r *rand.Rand, at int) error {
	for sc.killsLeft(ctx) {
		point, life := sc.schedule(r, "serve")
		made, cuts := sc.loaded.Load(), sc.cuts.Load()
		s, err := sc.env.StartServer(at, point, serveArgs...)
		if err != nil {
			return err
		}
		sc.server[at].Store(s)
		if point == "" && r.IntN(8) == 0 {
			if err := sc.pause(ctx, r, s.Process, life); err != nil {
				return err
			}
		}
		if err := sc.await(ctx, s.Process, "server", point, life); err != nil && made && sc.cuts.Load() == cuts {
			return err
		}
	}
	return nil
}

// pause suspends a server for longer than its lease.
func (sc *scenario) pause(ctx context.Context, r *rand.Rand, p *testkit.Process, life time.Duration) error {
	pause(ctx, r, life+1)
	err := p.Stop()
	if err == nil {
		time.Sleep(lease + time.Duration(r.Int64N(int64(lease))))
		err = p.Continue()
	}
	if errors.Is(err, os.ErrProcessDone) {
		return nil // it has exited: the caller checks why
	}
	sc.report.paused()
	return err
}

// cutConnections terminates random connections to the database.
func (sc *scenario) cutConnections(ctx context.Context, r *rand.Rand) error {
	db, err := sql.Open("pgx", sc.env.Database)
	if err != nil {
		return err
	}
	defer db.Close()
	for sc.killsLeft(ctx) {
		pause(ctx, r, 1500*time.Millisecond)
		sc.cuts.Add(1) // before the cut: its effects may show at once
		var n int
		err := db.QueryRowContext(context.WithoutCancel(ctx), `SELECT count(pg_terminate_backend(pid)) FROM (SELECT pid FROM pg_stat_activity
			WHERE datname = current_database() AND pid <> pg_backend_pid() ORDER BY md5(pid::text || $1) LIMIT $2) AS victims`, fmt.Sprint(r.Uint64()), 1+r.IntN(3)).Scan(&n)
		if err != nil {
			return err
		}
		sc.cuts.Add(1)
		if n > 0 {
			sc.killed("database connections", "")
		}
	}
	return nil
}

// await waits until the process has died at its failpoint, or kills it at the end of its
// life. It returns an error if the process exited by itself.
func (sc *scenario) await(ctx context.Context, p *testkit.Process, what, point string, life time.Duration) error {
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
		return fmt.Errorf("a %s exited with code %d:\n%s", what, p.ExitCode(), tail(p.Log()))
	}
	sc.killed(what, point)
	for _, w := range warnings(p.Log()) {
		sc.report.count(sc.report.Warnings, message(w))
	}
	return nil
}

// message returns the message and the error of a log line, without the time and the job.
func message(line string) string {
	_, rest, _ := strings.Cut(line, "level=")
	text, details, _ := strings.Cut(rest, " job=")
	if _, err, found := strings.Cut(details, "error="); found {
		text += " error=" + err
	}
	text, _, _ = strings.Cut(text, `\n`) // the first of joined errors
	return numbers.ReplaceAllString(text, "…")
}

// numbers matches ids and counts.
var numbers = regexp.MustCompile(`[0-9a-f-]{36}|[0-9]+`)

// load loads one set of lines after the other. It retries an interrupted load until it is
// acknowledged.
func (sc *scenario) load(ctx context.Context, r *rand.Rand) error {
	for first := true; first || sc.killsLeft(ctx); first = false {
		names := sc.all
		if !first && r.IntN(5) > 0 {
			names = pick(r, sc.all, 1+r.IntN(100))
		}
		var lines []string
		for n, name := range names {
			lines = append(lines, sc.history.Put(name, !first && n%4 == 0 && name.ID[len(name.ID)-1] == '7' && r.IntN(3) == 0))
		}
		if err := sc.loadUntilDone(ctx, r, lines, first); err != nil {
			return err
		}
		sc.history.Acknowledge(names...)
		sc.loaded.Store(true)
	}
	return nil
}

// initFailpoints are the failpoints that only the first load of a directory passes.
var initFailpoints = []string{"directory.migrate", "directory.migrated", "jobs.migrate"}

// loadUntilDone retries a load until it succeeds. The first load creates the directory
// and is often killed meanwhile.
func (sc *scenario) loadUntilDone(ctx context.Context, r *rand.Rand, lines []string, first bool) error {
	for try := 0; ; try++ {
		point, life := "", testkit.Patience
		if try < 5 && sc.killsLeft(ctx) && r.IntN(3) > 0 {
			if point, life = sc.schedule(r, "load"); point == "" {
				life /= 4 // loads are short
			}
			if first && r.IntN(2) == 0 {
				point, life = initFailpoints[r.IntN(len(initFailpoints))], sc.armedLife()
			}
		}
		cuts := sc.cuts.Load()
		p, err := sc.env.StartLoad(point, lines)
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
			sc.killed("loader", point)
			sc.report.count(sc.report.Loads, "killed and retried")
		case p.ExitCode() != 0 && sc.cuts.Load() > cuts:
			sc.report.count(sc.report.Loads, "disconnected and retried")
		case p.ExitCode() != 0:
			return fmt.Errorf("a load exited with code %d:\n%s", p.ExitCode(), p.Log())
		default:
			sc.report.count(sc.report.Loads, "acknowledged")
			return nil
		}
	}
}

// client starts, polls, downloads and cancels exports on any running server.
func (sc *scenario) client(ctx context.Context, r *rand.Rand) error {
	for ctx.Err() == nil {
		s := sc.server[0].Load()
		if other := sc.server[1].Load(); other != nil && r.IntN(2) == 0 {
			s = other
		}
		if s == nil {
			pause(ctx, r, 20*time.Millisecond)
			continue
		}
		live := sc.live()
		switch {
		case len(live) < 6:
			sc.kickOff(s, r)
		case r.IntN(12) == 0:
			sc.cancel(ctx, s, live[r.IntN(len(live))])
		}
		for _, id := range live {
			// Other answers are checked during the verification.
			if _, err := sc.poll(ctx, s, id); err != nil {
				return err
			}
		}
		pause(ctx, r, 40*time.Millisecond)
	}
	return nil
}

// live returns the ids of the jobs that are not known to have ended.
func (sc *scenario) live() (ids []string) {
	sc.mu.Lock()
	defer sc.mu.Unlock()
	for id, a := range sc.jobs {
		if a.manifest == "" && !a.cancelled {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// kickOff starts a full export, or a delta since the time of one that is complete.
func (sc *scenario) kickOff(s *testkit.Server, r *rand.Rand) {
	since := ""
	if times := sc.checker.times(); len(times) > 0 && r.IntN(2) == 0 {
		since = times[r.IntN(len(times))]
	}
	expected := sc.history.Expectations(since != "")
	start := time.Now()
	status, err := s.KickOff(testkit.Parameters(since, Filters...))
	sc.mu.Lock()
	defer sc.mu.Unlock()
	if err != nil {
		sc.unanswered = append(sc.unanswered, since) // the job may exist although its client has no answer
		return
	}
	sc.report.record(&sc.report.Answers, time.Since(start))
	_, id, _ := strings.Cut(status, "_jobId=")
	sc.jobs[id] = &request{since: since, expected: expected}
}

// cancel deletes a job.
func (sc *scenario) cancel(ctx context.Context, s *testkit.Server, id string) {
	sc.mu.Lock()
	sc.jobs[id].cancelled = true
	sc.mu.Unlock()
	_ = deleteJob(ctx, statusURL(s, id)) // the answer does not matter
}

func statusURL(s *testkit.Server, id string) string {
	return s.Base + "/$export-poll-status?_jobId=" + id
}

// answer is the answer to a poll.
type answer struct {
	status int // 0 without an answer
	body   string
}

// poll polls a job and downloads the files of a complete one. A server that has exited is
// not an error; a server that does not answer is.
func (sc *scenario) poll(ctx context.Context, s *testkit.Server, id string) (answer, error) {
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
	err = sc.download(asking, s, id, a.body)
	if errors.As(err, new(interrupted)) {
		return a, nil
	}
	// A server whose connections were cut may answer with an error for a short time.
	if no, ok := errors.AsType[errorAnswer](err); ok && no.status >= 500 && ctx.Value(calm{}) == nil && sc.cuts.Load() > 0 {
		return a, nil
	}
	return a, err
}

// calm is the context key that marks the verification, when nothing is killed any more.
type calm struct{}

// download downloads the files of a complete job and passes them to the checker, once.
// The next poll retries a download that was interrupted because the server died.
func (sc *scenario) download(ctx context.Context, s *testkit.Server, id, manifest string) error {
	sc.mu.Lock()
	job := sc.jobs[id]
	if job == nil { // its kick-off was not answered
		job = &request{}
		sc.jobs[id] = job
	}
	sinces := []string{job.since}
	if job.expected == nil {
		sinces = sc.unanswered
	}
	before := job.manifest
	sc.mu.Unlock()
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
	at, err := time.Parse(time.RFC3339Nano, m.TransactionTime)
	if err != nil {
		return fmt.Errorf("the manifest of job %s: %w", id, err)
	}
	lines, err := Download(ctx, s, m)
	if err != nil {
		return fmt.Errorf("job %s: %w", id, err)
	}
	sc.mu.Lock()
	job.manifest = manifest
	sc.mu.Unlock()
	return sc.checker.add(result{job: id, sinces: sinces, text: m.TransactionTime, until: at, expected: job.expected}, lines)
}
