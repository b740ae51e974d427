package storetest

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"muster/internal/client"
	"muster/internal/fhir"
	"muster/internal/store"
)

// The lease of the tests of turns in ms, which never ends, and a minute.
const (
	longLease = 1_000_000_000
	minute    = fhir.Instant(60_000)
)

// of stores a job of a client that was kicked off n ms after noon.
func (b jobsTest) of(c client.Client, id string, n fhir.Instant) {
	b.Helper()
	b.must(b.CreateJob(b.Context(), store.Job{ID: id, Owner: "anna", Client: c, Request: []byte("{}"), Created: noon + n}, 0))
}

// next claims a task within the bounds and returns its job, "" if there is no task.
func (b jobsTest) next(now fhir.Instant, within store.Bounds) (*store.Task, string) {
	b.Helper()
	task, err := b.Claim(b.Context(), "w", now, longLease, within)
	b.must(err)
	if task == nil {
		return nil, ""
	}
	return task, task.Job.ID
}

// wantNext claims a task and fails the test if it is not of the job.
func (b jobsTest) wantNext(what, job string, now fhir.Instant) *store.Task {
	b.Helper()
	task, got := b.next(now, store.Bounds{})
	if got != job {
		b.Fatalf("%s: claimed job %q, want %q", what, got, job)
	}
	return task
}

// testLeastUsed checks that the client goes first for which workers work least, now and in
// the last ten minutes, and the oldest job among equals.
func testLeastUsed(t *testing.T, b jobsTest) {
	busy, quiet, idle := client.Client{Name: "busy"}, client.Client{Name: "quiet"}, client.Client{Name: "idle"}
	for n := range 3 {
		b.of(busy, fmt.Sprint("busy", n), fhir.Instant(n))
	}
	b.of(quiet, "quiet0", 5)
	b.of(quiet, "quiet1", 6)
	busy0 := b.wantNext("all have used nothing", "busy0", noon)
	quiet0 := b.wantNext("one works for the other client", "quiet0", noon)
	b.must(b.EndSlice(t.Context(), busy0, 250, noon+250))
	b.must(b.EndSlice(t.Context(), quiet0, 100, noon+100))
	b.of(idle, "idle0", 9)
	b.wantNext("the client has used nothing", "idle0", noon+300)
	again := b.wantNext("the client has used less", "quiet0", noon+300)
	if again.Job.Selected != 100 || again.Job.State != store.Accepted || again.Attempt != 1 {
		t.Errorf("after a slice: %+v, attempt %d", again.Job, again.Attempt)
	}
	b.wantNext("the other clients have a claim", "busy0", noon+300)
	// All have a claim: quiet and idle are charged at heartbeats, busy is not.
	b.must(b.Renew(t.Context(), again, noon+1000, longLease, 0))
	b.wantNext("250 ms are less than 800", "busy1", noon+1000)
	b.wantNext("one claim is less than two", "quiet1", noon+1000)
	// Ten minutes later nothing counts any more.
	if n, err := b.Expire(t.Context(), noon+11*minute, 0); n != 0 || err != nil {
		t.Errorf("%d expired, %v", n, err)
	}
	b.must(b.Cancel(t.Context(), "quiet0", "anna", noon+1000, expires))
	b.must(b.Cancel(t.Context(), "quiet1", "anna", noon+1000, expires))
	b.of(quiet, "quiet2", 20)
	b.of(client.Client{Name: "new"}, "new", 21)
	b.wantNext("old work does not count", "quiet2", noon+11*minute)
}

// testWiderClients checks that the clients of one wide network count together.
func testWiderClients(t *testing.T, b jobsTest) {
	address := client.Client{Name: "address 192.0.2.1"}
	in := func(n int) client.Client {
		return client.Client{Name: fmt.Sprintf("network 2001:db8:1:%d::/64", n), Wider: "network 2001:db8:1::/48"}
	}
	b.of(in(1), "first", 0)
	b.must(b.EndSlice(t.Context(), b.wantNext("the only job", "first", noon), 4000, noon+4000))
	b.must(b.Cancel(t.Context(), "first", "anna", noon, expires))
	b.of(address, "address", 1)
	b.must(b.EndSlice(t.Context(), b.wantNext("the only job", "address", noon), 900, noon+900))
	b.of(in(2), "second", 2)
	task := b.wantNext("900 ms are less than a quarter of 4 s", "address", noon+5000)
	b.must(b.EndSlice(t.Context(), task, 200, noon+5200))
	b.wantNext("a quarter of 4 s is less than 1,100 ms", "second", noon+5200)
}

// testCancelledWorkCounts checks that a client cannot avoid its turn by cancelling a job that
// has run.
func testCancelledWorkCounts(t *testing.T, b jobsTest) {
	b.of(client.Client{Name: "one"}, "one", 0)
	b.wantNext("the only job", "one", noon)
	b.must(b.Cancel(t.Context(), "one", "anna", noon+200, expires))
	b.of(client.Client{Name: "one"}, "again", 1)
	b.of(client.Client{Name: "other"}, "other", 2)
	b.wantNext("the other client has used nothing", "other", noon+200)
}

// testBounds checks that a worker with bounds claims no selection that has run for long, and
// no large part.
func testBounds(t *testing.T, b jobsTest) {
	b.create("job", 0)
	task := b.mustClaim("w", noon)
	b.must(b.EndSlice(t.Context(), task, 300, noon+300))
	if _, job := b.next(noon+300, store.Bounds{Selected: 300}); job != "" {
		t.Error("a selection that has run for 300 ms was claimed under a bound of 300 ms")
	}
	task, _ = b.next(noon+300, store.Bounds{Selected: 301})
	if task == nil {
		t.Fatal("a selection that has run for 300 ms was not claimed under a bound of 301 ms")
	}
	b.must(b.BeginSelecting(t.Context(), task, noon+400, noon+400))
	selections, parts := cutSelection("job", []int64{5})
	b.must(b.StoreSelection(t.Context(), task, selections, parts, noon+400, expires))
	if _, job := b.next(noon+400, store.Bounds{PartBytes: 5*rowBytes - 1}); job != "" {
		t.Error("a part was claimed under a bound of a byte less")
	}
	if _, job := b.next(noon+400, store.Bounds{PartBytes: 5 * rowBytes}); job != "job" {
		t.Error("a part was not claimed under a bound of its size")
	}
}

// testEndSlice checks what remains of a selection that was interrupted: no transaction time,
// so no old versions are kept for it, and the number of resources that it found.
func testEndSlice(t *testing.T, b jobsTest) {
	b.create("job", 0)
	late := b.mustClaim("late", noon)
	b.must(b.BeginSelecting(t.Context(), late, noon+1, noon))
	b.must(b.Renew(t.Context(), late, noon+100, lease, 954))
	b.must(b.EndSlice(t.Context(), late, 250, noon+250))
	job := b.state("job", store.Selecting)
	if job.Time != 0 || job.Found != 954 || job.Selected != 250 || job.Progress != noon+250 || job.Lease != 0 {
		t.Errorf("after a slice: %+v", job)
	}
	b.must(b.EndSlice(t.Context(), late, 250, noon+251)) // changes nothing
	next := b.mustClaim("next", noon+300)
	if next.Job.Selected != 250 || next.Attempt != 1 {
		t.Errorf("the next claim: %+v, attempt %d", next.Job, next.Attempt)
	}
	b.must(b.BeginSelecting(t.Context(), next, noon+301, noon+301))
	b.must(b.Renew(t.Context(), next, noon+400, lease, 3))
	if job := b.state("job", store.Selecting); job.Found != 954 || job.Time != noon+301 {
		t.Errorf("in the second slice: %+v", job)
	}
	b.must(b.Cancel(t.Context(), "job", "anna", noon+500, expires))
	b.must(b.EndSlice(t.Context(), next, 250, noon+500))
	b.state("job", store.Cancelled)
}

// testRandomTurns compares claims with a naive model, while jobs are created, worked on and
// cancelled at random.
func testRandomTurns(t *testing.T, b jobsTest) {
	const seed = 7
	m := &turnModel{jobsTest: b, random: rand.New(rand.NewPCG(seed, seed)), now: noon, use: map[string]map[fhir.Instant]int64{}}
	for range 150 {
		m.now += fhir.Instant(m.random.IntN(40_000))
		m.step()
	}
	if m.claims < 30 {
		t.Errorf("only %d tasks were claimed", m.claims)
	}
}

// turnModel is a naive model of the queue.
type turnModel struct {
	jobsTest
	random *rand.Rand
	now    fhir.Instant
	jobs   []*turnJob
	use    map[string]map[fhir.Instant]int64 // by client and minute
	turns  int                               // claims of parts
	claims int
}

type turnJob struct {
	id       string
	client   client.Client
	created  fhir.Instant
	selected int64
	tasks    []*turnTask // its selection, or its parts
	turn     int
	bytes    int64 // of its parts
	ended    bool
}

type turnTask struct {
	job     *turnJob
	number  int // of the part; 0 is the selection
	bytes   int64
	claim   *store.Task // nil while it waits
	charged fhir.Instant
}

func (m *turnModel) step() {
	m.Helper()
	switch held := m.held(); {
	case len(m.jobs) < 3 || m.random.IntN(5) == 0:
		c := client.Client{Name: fmt.Sprint("client ", m.random.IntN(4))}
		if n := m.random.IntN(4); n > 0 {
			c = client.Client{Name: fmt.Sprint("network ", n), Wider: "wide network"}
		}
		j := &turnJob{id: fmt.Sprintf("job-%03d", len(m.jobs)), client: c, created: m.now}
		j.tasks = []*turnTask{{job: j}}
		m.jobs = append(m.jobs, j)
		m.of(c, j.id, m.now-noon)
	case len(held) > 3 || len(held) > 0 && m.random.IntN(2) == 0:
		m.work(held[m.random.IntN(len(held))])
	default:
		m.claimNext()
	}
}

func (m *turnModel) held() (held []*turnTask) {
	for _, task := range m.tasks() {
		if task.claim != nil {
			held = append(held, task)
		}
	}
	return held
}

func (m *turnModel) tasks() (tasks []*turnTask) {
	for _, j := range m.jobs {
		if !j.ended {
			tasks = append(tasks, j.tasks...)
		}
	}
	return tasks
}

// work does something with a claimed task.
func (m *turnModel) work(task *turnTask) {
	m.Helper()
	j := task.job
	switch m.random.IntN(5) {
	case 0:
		m.must(m.Renew(m.Context(), task.claim, m.now, longLease, 0))
		m.charge(task)
	case 1:
		m.must(m.Cancel(m.Context(), j.id, "anna", m.now, m.now+1))
		for _, open := range j.tasks {
			m.charge(open)
		}
		j.ended = true
	default:
		m.charge(task)
		if task.number > 0 {
			m.must2(m.FinishPart(m.Context(), task.claim, object(task.claim), storedAsPlanned(task.claim.Part), m.now, m.now+1))
			j.tasks = slices.DeleteFunc(j.tasks, func(other *turnTask) bool { return other == task })
			j.ended = len(j.tasks) == 0
		} else if m.random.IntN(2) == 0 {
			m.must(m.EndSlice(m.Context(), task.claim, 500, m.now))
			j.selected += 500
			task.claim = nil
		} else {
			m.must(m.BeginSelecting(m.Context(), task.claim, m.now, m.now))
			selections, parts := cutSelection(j.id, []int64{1, 5, 2})
			row := []int64{store.SmallPart / 2, store.SmallPart / 10}[m.random.IntN(2)] // one part is larger, or the export is small
			for n := range parts {
				parts[n].Bytes = row * parts[n].Count
			}
			m.must(m.StoreSelection(m.Context(), task.claim, selections, parts, m.now, m.now+1))
			j.tasks, j.bytes = nil, 0
			for _, p := range parts {
				j.bytes += p.Bytes
				j.tasks = append(j.tasks, &turnTask{job: j, number: p.Number, bytes: p.Bytes})
			}
		}
	}
}

func (m *turnModel) must2(_ store.State, err error) {
	m.Helper()
	m.must(err)
}

// charge counts the time since the last charge.
func (m *turnModel) charge(task *turnTask) {
	if task.claim == nil || task.number > 0 && task.bytes <= store.SmallPart {
		return
	}
	for _, a := range task.job.client.Allowances() {
		if m.use[a.Name] == nil {
			m.use[a.Name] = map[fhir.Instant]int64{}
		}
		m.use[a.Name][m.now/minute] += int64(m.now - task.charged)
	}
	task.charged = m.now
}

// used returns how much of its allowance a client has used in the last ten minutes.
func (m *turnModel) used(c client.Client) (used int64) {
	for _, a := range c.Allowances() {
		sum := int64(0)
		for at, ms := range m.use[a.Name] {
			if at > m.now/minute-fhir.Instant(store.UseWindow/time.Minute) {
				sum += ms
			}
		}
		used = max(used, sum/int64(a.Factor))
	}
	return used
}

// claimNext claims a task and compares it with the one that the model expects.
func (m *turnModel) claimNext() {
	m.Helper()
	within := []store.Bounds{{}, {}, {Selected: 500}, {Selected: 500, PartBytes: store.SmallPart}}[m.random.IntN(4)]
	claims := map[string]int{}
	for _, task := range m.held() {
		claims[task.job.client.Name]++
	}
	var want *turnTask
	for _, task := range m.tasks() {
		tooLong := task.number == 0 && within.Selected > 0 && task.job.selected >= within.Selected
		tooLarge := within.PartBytes > 0 && task.bytes > within.PartBytes
		if task.claim == nil && !tooLong && !tooLarge && (want == nil || m.compare(task, want, claims) < 0) {
			want = task
		}
	}
	got, id := m.next(m.now, within)
	switch {
	case want == nil && got == nil:
		return
	case want == nil || got == nil || id != want.job.id || (got.Part != nil) != (want.number > 0) || got.Part != nil && got.Part.Number != want.number:
		m.Fatalf("claim %d, within %+v: got job %q, want %+v", m.claims, within, id, want)
	}
	m.claims++
	want.claim, want.charged = got, m.now
	if want.number > 0 {
		m.turns++
		want.job.turn = m.turns
	}
}

// compare orders two tasks that wait.
func (m *turnModel) compare(a, b *turnTask, claims map[string]int) int {
	kind := func(task *turnTask) int { return min(task.number, 1) }
	order := func(task *turnTask) int { // small exports first
		if task.number > 0 && task.job.bytes <= store.SmallPart {
			return 0
		}
		return 1
	}
	return cmp.Or(
		cmp.Compare(order(a), order(b)),
		cmp.Compare(claims[a.job.client.Name], claims[b.job.client.Name]),
		cmp.Compare(m.used(a.job.client), m.used(b.job.client)),
		cmp.Compare(kind(a), kind(b)),
		cmp.Compare(a.job.turn, b.job.turn),
		cmp.Compare(a.job.created, b.job.created),
		cmp.Compare(a.job.id, b.job.id),
		cmp.Compare(b.bytes, a.bytes), cmp.Compare(a.number, b.number),
	)
}
