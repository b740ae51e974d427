package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"muster/internal/client"
	"muster/internal/failpoint"
	"muster/internal/fhir"
	"muster/internal/store"

	"github.com/RoaringBitmap/roaring/v2/roaring64"
	"github.com/google/go-cmp/cmp"
)

// Jobs runs the suite of the job store. open returns an empty store for each test. The
// tests pass all times, so the suite needs no clock.
func Jobs(t *testing.T, open func(t *testing.T) store.Jobs) {
	for _, c := range []struct {
		name string
		test func(*testing.T, jobsTest)
	}{
		{"CreateAndRead", testCreateAndRead},
		{"LimitCountsLiveJobsOfTheClient", testLimit},
		{"LimitCountsNetworks", testLimitOfNetwork},
		{"LimitHoldsAgainstRacers", testLimitRace},
		{"QuotaCountsFilesOfTheClient", testQuota},
		{"QuotaCountsPlannedFiles", testQuotaPlanned},
		{"QuotaOfAllClients", testQuotaTotal},
		{"ClaimsAreExclusive", testClaimsExclusive},
		{"ConcurrentClaimsAreExclusive", testConcurrentClaims},
		{"CommittedClaimIsReturned", testClaimAtCommit},
		{"PartsTakeTurnsBetweenJobs", testTurns},
		{"LeastUsedClientGoesFirst", testLeastUsed},
		{"ClientsOfOneNetworkCountTogether", testWiderClients},
		{"CancelledWorkCounts", testCancelledWorkCounts},
		{"BoundsAreKept", testBounds},
		{"SliceEnds", testEndSlice},
		{"RandomTurns", testRandomTurns},
		{"LeaseEndsAndFencesTheLateWorker", testFences},
		{"LateSelectionIsRefused", testLateSelection},
		{"ReleaseCountsFailuresOnly", testRelease},
		{"SelectionIsKept", testSelection},
		{"ContentsAreKeptUntilWritten", testContents},
		{"ContentsAloneAreAnExport", testContentsAlone},
		{"EmptySelectionCompletes", testEmptySelection},
		{"LastPartIsDecidedOnce", testLastPart},
		{"ConcurrentLastPartIsDecidedOnce", testLastPartRace},
		{"CountMismatchFails", testMismatch},
		{"ProgressIsTheSumOfTheWork", testProgress},
		{"CancelIsFinal", testCancel},
		{"CancelOfAnotherOwnerIsNotFound", testForeignCancel},
		{"JobsOfAnOwner", testOwned},
		{"FailIsFinal", testFail},
		{"PollIsCompareAndSet", testPoll},
		{"StalledJobsAreFound", testStalled},
		{"RepeatedAttemptsStall", testStalledAttempts},
		{"ExpiredIsNeverRevived", testExpire},
		{"TimesAheadAreCorrected", testCorrectTimes},
		{"UseAheadIsForgotten", testUseAhead},
		{"ObjectsAndLiveJobs", testObjects},
		{"MembersAreFoundWhenComplete", testMembers},
		{"MembersOfEndedJobsAreForgotten", testMembersOfEnded},
		{"MembersNeedTheClaim", testMembersOfLate},
		{"LeastUsedMembersAreForgotten", testLeastUsedMembers},
		{"MembersOfOneClientLeaveRoom", testMembersOfOneClient},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, jobsTest{T: t, Jobs: open(t)}) })
	}
}

// The times of the suite in ms. Work happens at noon; a lease lasts one second.
const (
	noon    fhir.Instant = 1_800_000_000_000
	lease                = 1000
	later                = noon + 10*lease // all leases from noon have ended
	expires              = noon + 3_600_000
)

// jobsTest is a job store under test. Its methods fail the test on errors.
type jobsTest struct {
	*testing.T
	store.Jobs
}

func (b jobsTest) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

func (b jobsTest) wantErr(what string, got, want error) {
	b.Helper()
	if !errors.Is(got, want) {
		b.Errorf("%s: error %v, want %v", what, got, want)
	}
}

// create stores a job that was kicked off n ms after noon.
func (b jobsTest) create(id string, n fhir.Instant) {
	b.Helper()
	b.must(b.CreateJob(b.Context(), store.Job{ID: id, Owner: "anna", Request: []byte(`{"job":"` + id + `"}`), Created: noon + n}, 0))
}

func (b jobsTest) claim(worker string, now fhir.Instant) *store.Task {
	b.Helper()
	task, err := b.Claim(b.Context(), worker, now, lease, store.Bounds{})
	b.must(err)
	return task
}

// mustClaim claims a task and fails the test if there is none.
func (b jobsTest) mustClaim(worker string, now fhir.Instant) *store.Task {
	b.Helper()
	task := b.claim(worker, now)
	if task == nil {
		b.Fatalf("%s: there is no task to claim", worker)
	}
	return task
}

func (b jobsTest) state(id string, want store.State) store.Job {
	b.Helper()
	job, err := b.Job(b.Context(), id)
	b.must(err)
	if job.State != want {
		b.Errorf("job %s is %s, want %s", id, job.State, want)
	}
	return job
}

// write creates a job and moves it to Writing, with parts of the given counts and ten
// bytes for each resource.
func (b jobsTest) write(id string, n fhir.Instant, counts ...int64) {
	b.Helper()
	b.create(id, n)
	task := b.mustClaim("selector", noon)
	b.must(b.BeginSelecting(b.Context(), task, noon+5, noon))
	selections, parts := cutSelection(id, counts)
	b.must(b.StoreSelection(b.Context(), task, selections, parts, noon, expires))
}

// rowBytes is the size of a row of [cutSelection], which makes no small exports.
const rowBytes = store.SmallPart + 1

func cutSelection(id string, counts []int64) ([]store.Selection, []store.Part) {
	keys := roaring64.New()
	var parts []store.Part
	next := int64(1)
	for n, count := range counts {
		first, last := store.Key(fhir.Practitioner, next), store.Key(fhir.Practitioner, next+count-1)
		keys.AddRange(uint64(first), uint64(last)+1)
		parts = append(parts, store.Part{JobID: id, Number: n + 1, Kind: store.PartRows, File: fmt.Sprintf("file-%s-%d", id, n+1), Type: fhir.Practitioner,
			First: first, Last: last, Count: count, Bytes: rowBytes * count})
		next += count
	}
	if keys.IsEmpty() {
		return nil, nil
	}
	return []store.Selection{{Type: fhir.Practitioner, Keys: keys}}, parts
}

// storedAsPlanned returns the result of a part that was written as planned.
func storedAsPlanned(p *store.Part) store.Stored {
	return store.Stored{Count: p.Count, Bytes: p.Bytes, GzipBytes: p.Bytes / 2, SHA256: "abc", Index: []byte{1, 2}}
}

func (b jobsTest) finish(task *store.Task) store.State {
	b.Helper()
	state, err := b.FinishPart(b.Context(), task, object(task), storedAsPlanned(task.Part), noon, expires)
	b.must(err)
	return state
}

func object(t *store.Task) string {
	return fmt.Sprintf("%s/%d-%d.gz", t.Job.ID, t.Part.Number, t.Fence)
}

func testCreateAndRead(t *testing.T, b jobsTest) {
	from := client.Client{Name: "network 2001:db8:1:2::/64", Wider: "network 2001:db8:1::/48"}
	b.must(b.CreateJob(b.Context(), store.Job{ID: "one", Owner: "anna", Client: from, Request: []byte(`{"job":"one"}`), Created: noon + 7}, 0))
	got, err := b.Job(t.Context(), "one")
	b.must(err)
	want := store.Job{ID: "one", Owner: "anna", Client: from, State: store.Accepted, Request: []byte(`{"job":"one"}`),
		Created: noon + 7, Progress: noon + 7, Total: -1}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("job (-want +got):\n%s", diff)
	}
	_, err = b.Job(t.Context(), "two")
	b.wantErr("an unknown job", err, store.ErrNotFound)
	if err := b.CreateJob(t.Context(), store.Job{ID: "one", Owner: "bob", Created: noon, Request: []byte("{}")}, 0); err == nil {
		t.Error("an id was used twice")
	}
}

func testLimit(t *testing.T, b jobsTest) {
	create := func(id, from string) error {
		c := client.Client{Name: from}
		check := b.CheckLive(t.Context(), c, 2)
		err := b.CreateJob(t.Context(), store.Job{ID: id, Owner: "anonymous", Client: c, Request: []byte("{}"), Created: noon}, 2)
		if errors.Is(err, store.ErrTooManyJobs) != errors.Is(check, store.ErrTooManyJobs) || err == nil && check != nil {
			t.Errorf("the check says %v, and the creation %v", check, err)
		}
		return err
	}
	b.must(create("1", "a"))
	b.must(create("2", "a"))
	b.wantErr("a third job", create("3", "a"), store.ErrTooManyJobs)
	b.must(create("4", "b"))
	b.must(b.Cancel(t.Context(), "1", "anonymous", noon, expires))
	b.must(create("5", "a"))
	b.must(b.Fail(t.Context(), "2", "reason", noon, expires))
	b.must(create("6", "a"))
	b.wantErr("a third live job", create("7", "a"), store.ErrTooManyJobs)
	for n := range 3 {
		b.must(create(fmt.Sprint("own", n), "")) // work of the program itself
	}
}

// testLimitOfNetwork creates jobs of many clients in one network: all of them together have a
// larger allowance, and clients of other networks are not affected.
func testLimitOfNetwork(t *testing.T, b jobsTest) {
	create := func(n int, network string) error {
		from := client.Client{Name: fmt.Sprint("client ", n), Wider: network}
		if err := b.CheckLive(t.Context(), from, 1); err != nil {
			return err
		}
		return b.CreateJob(t.Context(), store.Job{ID: fmt.Sprint(network, n), Owner: "anonymous", Client: from, Request: []byte("{}"), Created: noon}, 1)
	}
	for n := range client.WiderFactor {
		b.must(create(n, "network"))
	}
	b.wantErr("one more client of the network", create(client.WiderFactor, "network"), store.ErrTooManyJobs)
	b.must(create(client.WiderFactor, "another network"))
	b.must(create(client.WiderFactor+1, ""))
}

func testLimitRace(t *testing.T, b jobsTest) {
	var wg sync.WaitGroup
	errs := make([]error, 12)
	for n := range errs {
		wg.Go(func() {
			errs[n] = b.CreateJob(t.Context(), store.Job{ID: fmt.Sprint(n), Owner: "anna", Client: client.Client{Name: fmt.Sprint("client ", n%2), Wider: "network"}, Request: []byte("{}"), Created: noon}, 3)
		})
	}
	wg.Wait()
	stored := 0
	for _, err := range errs {
		if err == nil {
			stored++
		} else if !errors.Is(err, store.ErrTooManyJobs) {
			t.Error(err)
		}
	}
	if stored != 6 {
		t.Errorf("%d jobs of two clients were stored under a limit of 3", stored)
	}
}

func testClaimsExclusive(t *testing.T, b jobsTest) {
	if task := b.claim("w", noon); task != nil {
		t.Fatalf("an empty store returned %+v", task)
	}
	b.create("young", 2)
	b.create("old", 1)
	first, second := b.mustClaim("a", noon), b.mustClaim("b", noon)
	if first.Job.ID != "old" || second.Job.ID != "young" {
		t.Errorf("claimed %s, then %s: want the oldest first", first.Job.ID, second.Job.ID)
	}
	if first.Part != nil || first.Attempt != 1 || first.Worker != "a" || first.Job.State != store.Accepted {
		t.Errorf("claim of a selection: %+v", first)
	}
	if task := b.claim("c", noon+lease-1); task != nil {
		t.Errorf("a claimed task was claimed again: %+v", task)
	}
	// Selections come before parts.
	b.must(b.BeginSelecting(t.Context(), first, noon, noon))
	selections, parts := cutSelection("old", []int64{3})
	b.must(b.StoreSelection(t.Context(), first, selections, parts, noon, expires))
	b.create("new", 3)
	if task := b.mustClaim("c", noon); task.Job.ID != "new" || task.Part != nil {
		t.Errorf("claimed %+v, want the selection of new", task)
	}
	if task := b.mustClaim("d", noon); task.Job.ID != "old" || task.Part == nil || task.Part.Number != 1 || task.Job.State != store.Writing || task.Job.Time != noon {
		t.Errorf("claimed %+v, want part 1 of old", task)
	}
}

func testConcurrentClaims(t *testing.T, b jobsTest) {
	b.write("job", 0, 1, 1, 1, 1, 1, 1, 1, 1)
	var mu sync.Mutex
	owner := map[int]string{}
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			name := fmt.Sprint("worker", w)
			for {
				task, err := b.Claim(t.Context(), name, noon, lease, store.Bounds{})
				if err != nil || task == nil {
					if err != nil {
						t.Error(err)
					}
					return
				}
				mu.Lock()
				if other := owner[task.Part.Number]; other != "" {
					t.Errorf("part %d was claimed by %s and by %s", task.Part.Number, other, name)
				}
				owner[task.Part.Number] = name
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if len(owner) != 8 {
		t.Errorf("%d of 8 parts were claimed", len(owner))
	}
}

// testClaimAtCommit ends the context of a claim just before its commit, as a stopping
// server does. The worker must receive the claim, because it could not release it
// otherwise.
func testClaimAtCommit(t *testing.T, b jobsTest) {
	b.create("job", 0)
	ctx, stop := context.WithCancel(t.Context())
	defer failpoint.Arm("jobs.commit", func(context.Context) error {
		stop()
		return nil
	})()
	task, err := b.Claim(ctx, "w", noon, lease, store.Bounds{})
	if err != nil || task == nil {
		t.Fatalf("the claim: %v, %v", task, err)
	}
	b.must(b.Release(t.Context(), task, 0, false))
	b.mustClaim("next", noon)
	if task, err := b.Claim(ctx, "w", later, lease, store.Bounds{}); !errors.Is(err, context.Canceled) {
		t.Errorf("a claim after the stop: %v, %v", task, err)
	}
}

func testTurns(t *testing.T, b jobsTest) {
	b.write("large", 0, 1, 1, 1, 1)
	b.write("small", 1, 1, 1)
	var order []string
	for task := b.claim("w", noon); task != nil; task = b.claim("w", noon) {
		order = append(order, fmt.Sprintf("%s %d", task.Job.ID, task.Part.Number))
	}
	want := []string{"large 1", "small 1", "large 2", "small 2", "large 3", "large 4"}
	if diff := cmp.Diff(want, order); diff != "" {
		t.Errorf("order of claims (-want +got):\n%s", diff)
	}
}

func testFences(t *testing.T, b jobsTest) {
	b.write("job", 0, 4)
	late := b.mustClaim("late", noon)
	b.must(b.Renew(t.Context(), late, noon+lease, lease, 1)) // late, but the claim is still current
	if task := b.claim("next", noon+2*lease-1); task != nil {
		t.Fatal("a renewed task was claimed again")
	}
	next := b.mustClaim("next", later)
	if next.Fence <= late.Fence || next.Attempt != 2 {
		t.Errorf("second claim: fence %d after %d, attempt %d", next.Fence, late.Fence, next.Attempt)
	}
	b.wantErr("renew by the late worker", b.Renew(t.Context(), late, later, lease, 2), store.ErrLeaseLost)
	_, err := b.FinishPart(t.Context(), late, object(late), storedAsPlanned(late.Part), later, expires)
	b.wantErr("finish by the late worker", err, store.ErrLeaseLost)
	b.must(b.Release(t.Context(), late, 0, true)) // changes nothing
	b.must(b.Renew(t.Context(), next, later, lease, 2))
	if state := b.finish(next); state != store.Complete {
		t.Errorf("state %s after the last part", state)
	}
	parts, err := b.Parts(t.Context(), "job")
	b.must(err)
	if len(parts) != 1 || parts[0].Object != object(next) {
		t.Errorf("the part names %+v, want the object of the later claim", parts)
	}
	_, err = b.FinishPart(t.Context(), next, object(next), storedAsPlanned(next.Part), later, expires)
	b.wantErr("a second finish", err, store.ErrLeaseLost)
	// A second claim by the same worker is a different claim.
	b.write("again", 1, 1)
	one := b.mustClaim("w", later)
	two := b.mustClaim("w", later+10*lease)
	b.wantErr("renew of the first claim", b.Renew(t.Context(), one, later+10*lease, lease, 0), store.ErrLeaseLost)
	b.must(b.Renew(t.Context(), two, later+10*lease, lease, 0))
}

func testLateSelection(t *testing.T, b jobsTest) {
	b.create("job", 0)
	late := b.mustClaim("late", noon)
	b.must(b.BeginSelecting(t.Context(), late, noon+1, noon))
	next := b.mustClaim("next", later)
	if next.Job.State != store.Selecting || next.Job.Time != noon+1 || next.Fence <= late.Fence {
		t.Errorf("second claim: %+v", next)
	}
	b.must(b.BeginSelecting(t.Context(), next, later+1, later)) // a new provisional T
	selections, parts := cutSelection("job", []int64{1})
	b.wantErr("begin by the late worker", b.BeginSelecting(t.Context(), late, later+2, later), store.ErrLeaseLost)
	b.wantErr("selection of the late worker", b.StoreSelection(t.Context(), late, selections, parts, later, expires), store.ErrLeaseLost)
	b.must(b.StoreSelection(t.Context(), next, selections, parts, later, expires))
	if job := b.state("job", store.Writing); job.Time != later+1 || job.Total != 1 || job.Started != later {
		t.Errorf("job after the selection: %+v", job)
	}
	b.wantErr("a second selection", b.StoreSelection(t.Context(), next, selections, parts, later, expires), store.ErrLeaseLost)
	b.wantErr("a new T after the selection", b.BeginSelecting(t.Context(), next, later+9, later), store.ErrLeaseLost)
}

func testRelease(t *testing.T, b jobsTest) {
	b.write("job", 0, 4)
	b.must(b.Release(t.Context(), b.mustClaim("w", noon), 0, false))
	task := b.mustClaim("w", noon)
	if task.Attempt != 1 {
		t.Errorf("attempt %d after a stop, want 1", task.Attempt)
	}
	b.must(b.Renew(t.Context(), task, noon, lease, 3))
	b.must(b.Release(t.Context(), task, noon+500, true))
	if job := b.state("job", store.Writing); job.Found != 0 {
		t.Errorf("found %d of a released task", job.Found)
	}
	if task := b.claim("w", noon+499); task != nil {
		t.Error("a task was claimed before its retry time")
	}
	if task := b.mustClaim("w", noon+500); task.Attempt != 2 {
		t.Errorf("attempt %d after a failure, want 2", task.Attempt)
	}
}

func testSelection(t *testing.T, b jobsTest) {
	b.create("job", 0)
	task := b.mustClaim("w", noon)
	b.must(b.BeginSelecting(t.Context(), task, noon+5, noon))
	selections := []store.Selection{
		{Type: fhir.Location, Keys: roaring64.BitmapOf(uint64(store.Key(fhir.Location, 1)), uint64(store.Key(fhir.Location, 1<<39)))},
		{Type: fhir.Practitioner, Keys: roaring64.BitmapOf(uint64(store.Key(fhir.Practitioner, 3)))},
	}
	parts := []store.Part{
		{JobID: "job", Number: 1, Kind: store.PartRows, File: "f1", Type: fhir.Location, First: store.Key(fhir.Location, 1), Last: store.Key(fhir.Location, 1<<39), Count: 2, Bytes: 20},
		{JobID: "job", Number: 2, Kind: store.PartRows, File: "f2", Type: fhir.Practitioner, First: store.Key(fhir.Practitioner, 3), Last: store.Key(fhir.Practitioner, 3), Count: 1, Bytes: 7},
	}
	b.must(b.StoreSelection(t.Context(), task, selections, parts, noon, expires))
	for _, want := range selections {
		got, err := b.Selection(t.Context(), "job", want.Type)
		b.must(err)
		if !got.Keys.Equals(want.Keys) {
			t.Errorf("selection of %s: %v, want %v", want.Type, got.Keys, want.Keys)
		}
	}
	_, err := b.Selection(t.Context(), "job", fhir.Endpoint)
	b.wantErr("the selection of a type without rows", err, store.ErrNotFound)
	got, err := b.Parts(t.Context(), "job")
	b.must(err)
	for n := range got {
		got[n].Stored.Index = nil
	}
	if diff := cmp.Diff(parts, got); diff != "" {
		t.Errorf("parts (-want +got):\n%s", diff)
	}
	_, _, err = b.PartByFile(t.Context(), "f1")
	b.wantErr("a file of a job that is writing", err, store.ErrNotFound)
}

// withContents adds a part of each kind that is not of the selection.
func withContents(parts []store.Part) []store.Part {
	for _, kind := range []store.PartKind{store.PartList, store.PartRemoved, store.PartLeft, store.PartOutcomes} {
		n := len(parts) + 1
		parts = append(parts, store.Part{JobID: "job", Number: n, Kind: kind, File: fmt.Sprint("file-job-", n), Count: int64(n), Bytes: 100, Content: []byte("content of " + kind)})
	}
	return parts
}

// testContents checks that a content is returned until its part is done, also after a crash, that
// all lines add up, and that no content outlives its job.
func testContents(t *testing.T, b jobsTest) {
	b.create("job", 0)
	task := b.mustClaim("w", noon)
	b.must(b.BeginSelecting(t.Context(), task, noon+5, noon))
	selections, parts := cutSelection("job", []int64{3, 2})
	parts = withContents(parts)
	b.must(b.StoreSelection(t.Context(), task, selections, parts, noon, expires))
	if job := b.state("job", store.Writing); job.Total != 5+3+4+5+6 {
		t.Errorf("a total of %d lines, want the 5 of the selection and 3, 4, 5 and 6 of the contents", job.Total)
	}
	got, err := b.Parts(t.Context(), "job")
	b.must(err)
	for n := range got {
		got[n].Content, got[n].Stored.Index = parts[n].Content, nil
	}
	if diff := cmp.Diff(parts, got); diff != "" {
		t.Errorf("parts (-want +got):\n%s", diff)
	}
	content := func(number int) string {
		text, err := b.PartContent(t.Context(), "job", number)
		if err != nil {
			b.wantErr("a content that is gone", err, store.ErrNotFound)
		}
		return string(text)
	}
	late := map[int]*store.Task{}
	for range parts {
		task := b.mustClaim("dies", noon)
		late[task.Part.Number] = task
	}
	for range parts {
		task := b.mustClaim("w", later)
		n := task.Part.Number
		want := ""
		if n > 2 {
			want = "content of " + string(task.Part.Kind)
		}
		if got := content(n); got != want {
			t.Errorf("the content of part %d is %q, want %q", n, got, want)
		}
		_, err := b.FinishPart(t.Context(), late[n], "late", storedAsPlanned(task.Part), noon, expires)
		b.wantErr("a late worker", err, store.ErrLeaseLost)
		if got := content(n); got != want {
			t.Errorf("after a late worker, the content of part %d is %q", n, got)
		}
		b.finish(task)
		if got := content(n); got != "" {
			t.Errorf("part %d is done, and its content is still %q", n, got)
		}
	}
	if job := b.state("job", store.Complete); job.Found != job.Total {
		t.Errorf("found %d of %d", job.Found, job.Total)
	}
}

// testContentsAlone checks jobs without a selection: one completes, one that differs from its
// plan fails, and a cancelled one keeps no content.
func testContentsAlone(t *testing.T, b jobsTest) {
	begin := func(id string) {
		t.Helper()
		b.create(id, 0)
		task := b.mustClaim("w", noon)
		b.must(b.BeginSelecting(t.Context(), task, noon+5, noon))
		part := store.Part{Number: 1, Kind: store.PartRemoved, File: "file-" + id, Count: 2, Bytes: 100, Content: []byte{1}}
		b.must(b.StoreSelection(t.Context(), task, nil, []store.Part{part}, noon, expires))
	}
	begin("complete")
	if state := b.finish(b.mustClaim("w", noon)); state != store.Complete {
		t.Errorf("state %s after the only part", state)
	}
	begin("short")
	task := b.mustClaim("w", noon)
	short := storedAsPlanned(task.Part)
	short.Count--
	if state, err := b.FinishPart(t.Context(), task, "object", short, noon, expires); err != nil || state != store.Failed {
		t.Errorf("state %s, error %v of a part with too few lines", state, err)
	}
	begin("cancelled")
	b.must(b.Cancel(t.Context(), "cancelled", "anna", noon, expires))
	for _, id := range []string{"complete", "short", "cancelled"} {
		_, err := b.PartContent(t.Context(), id, 1)
		b.wantErr("the content of the job "+id, err, store.ErrNotFound)
	}
}

func testEmptySelection(t *testing.T, b jobsTest) {
	b.write("job", 0)
	if job := b.state("job", store.Complete); job.Total != 0 || job.Expires != expires || job.Finished != noon || job.Time != noon+5 {
		t.Errorf("job without rows: %+v", job)
	}
	if task := b.claim("w", later); task != nil {
		t.Errorf("a finished job has a task: %+v", task)
	}
}

func testLastPart(t *testing.T, b jobsTest) {
	b.write("job", 0, 3, 2)
	one, two := b.mustClaim("a", noon), b.mustClaim("b", noon)
	if state := b.finish(two); state != store.Writing {
		t.Errorf("state %s with an unfinished part", state)
	}
	_, _, err := b.PartByFile(t.Context(), "file-job-2")
	b.wantErr("a written file of a job that is not complete", err, store.ErrNotFound)
	if state := b.finish(one); state != store.Complete {
		t.Errorf("state %s after the last part", state)
	}
	job := b.state("job", store.Complete)
	if job.Found != 5 || job.Total != 5 || job.Finished != noon || job.Expires != expires {
		t.Errorf("complete job: %+v", job)
	}
	part, owner, err := b.PartByFile(t.Context(), "file-job-2")
	b.must(err)
	if diff := cmp.Diff(job, owner); diff != "" {
		t.Errorf("job of the file (-want +got):\n%s", diff)
	}
	want := *two.Part
	want.Done, want.Object, want.Stored = true, object(two), storedAsPlanned(two.Part)
	if diff := cmp.Diff(want, part); diff != "" {
		t.Errorf("part of the file (-want +got):\n%s", diff)
	}
}

func testLastPartRace(t *testing.T, b jobsTest) {
	const parts = 8
	counts := make([]int64, parts)
	for n := range counts {
		counts[n] = 1
	}
	b.write("job", 0, counts...)
	var wg sync.WaitGroup
	var mu sync.Mutex
	decided := map[store.State]int{}
	for n := range parts {
		task := b.mustClaim(fmt.Sprint(n), noon)
		wg.Go(func() {
			state, err := b.FinishPart(t.Context(), task, object(task), storedAsPlanned(task.Part), noon, expires)
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			decided[state]++
			mu.Unlock()
		})
	}
	wg.Wait()
	if diff := cmp.Diff(map[store.State]int{store.Writing: parts - 1, store.Complete: 1}, decided); diff != "" {
		t.Errorf("states returned to the workers (-want +got):\n%s", diff)
	}
}

func testMismatch(t *testing.T, b jobsTest) {
	for name, spoil := range map[string]func(*store.Stored){
		"fewer-lines": func(s *store.Stored) { s.Count-- },
		"more-lines":  func(s *store.Stored) { s.Count++ },
		"other-bytes": func(s *store.Stored) { s.Bytes++ },
	} {
		b.write(name, 0, 3, 1)
		task := b.mustClaim("w", noon)
		stored := storedAsPlanned(task.Part)
		spoil(&stored)
		state, err := b.FinishPart(t.Context(), task, object(task), stored, noon, expires)
		b.must(err)
		if job := b.state(name, store.Failed); state != store.Failed || job.Reason == "" || job.Expires != expires {
			t.Errorf("%s: state %s, job %+v", name, state, job)
		}
	}
	// Parts as planned, but the plan omits selected rows.
	b.create("plan", 0)
	task := b.mustClaim("w", noon)
	b.must(b.BeginSelecting(t.Context(), task, noon, noon))
	selections, parts := cutSelection("plan", []int64{3, 2})
	b.must(b.StoreSelection(t.Context(), task, selections, parts[:1], noon, expires))
	if state := b.finish(b.mustClaim("w", noon)); state != store.Failed {
		t.Errorf("3 of 5 selected resources were written, but the job is %s", state)
	}
}

func testProgress(t *testing.T, b jobsTest) {
	b.create("job", 0)
	found := func(state store.State, want int64, progress fhir.Instant) {
		t.Helper()
		if job := b.state("job", state); job.Found != want || job.Progress != progress {
			t.Errorf("found %d, progress at noon%+d; want %d, noon%+d", job.Found, job.Progress-noon, want, progress-noon)
		}
	}
	task := b.mustClaim("w", noon)
	b.must(b.BeginSelecting(t.Context(), task, noon, noon+1))
	b.must(b.Renew(t.Context(), task, noon+2, lease, 4))
	found(store.Selecting, 4, noon+2)
	b.must(b.Renew(t.Context(), task, noon+3, lease, 4))
	found(store.Selecting, 4, noon+2) // a heartbeat without progress
	selections, parts := cutSelection("job", []int64{3, 2})
	b.must(b.StoreSelection(t.Context(), task, selections, parts, noon+4, expires))
	found(store.Writing, 0, noon+4)
	one, two := b.mustClaim("a", noon), b.mustClaim("b", noon)
	b.must(b.Renew(t.Context(), one, noon+5, lease, 2))
	b.must(b.Renew(t.Context(), two, noon+6, lease, 1))
	found(store.Writing, 3, noon+6)
	b.finish(two)
	found(store.Writing, 4, noon)
	// Another worker claims the first part again: its count restarts.
	again := b.mustClaim("c", later)
	found(store.Writing, 2, noon+8995) // the part waits since noon+1005
	b.must(b.Renew(t.Context(), again, later+1, lease, 1))
	found(store.Writing, 3, later+1)
}

func testCancel(t *testing.T, b jobsTest) {
	b.create("accepted", 0)
	b.must(b.Cancel(t.Context(), "accepted", "anna", noon, expires))
	if task := b.claim("w", later); task != nil {
		t.Errorf("a cancelled job has a task: %+v", task)
	}

	b.create("selecting", 0)
	selecting := b.mustClaim("w", noon)
	b.must(b.BeginSelecting(t.Context(), selecting, noon, noon))
	b.must(b.Cancel(t.Context(), "selecting", "anna", noon, expires))
	selections, parts := cutSelection("selecting", []int64{1})
	b.wantErr("renew", b.Renew(t.Context(), selecting, noon, lease, 0), store.ErrCancelled)
	b.wantErr("selection", b.StoreSelection(t.Context(), selecting, selections, parts, noon, expires), store.ErrCancelled)

	b.write("writing", 0, 2, 2)
	b.finish(b.mustClaim("w", noon))
	writing := b.mustClaim("w", noon)
	b.must(b.Cancel(t.Context(), "writing", "anna", noon, expires))
	b.wantErr("renew", b.Renew(t.Context(), writing, noon, lease, 0), store.ErrCancelled)
	_, err := b.FinishPart(t.Context(), writing, object(writing), storedAsPlanned(writing.Part), noon, expires)
	b.wantErr("finish", err, store.ErrCancelled)
	b.must(b.Release(t.Context(), writing, 0, false))

	b.write("complete", 0, 1)
	b.finish(b.mustClaim("w", noon))
	b.must(b.Cancel(t.Context(), "complete", "anna", noon, expires))
	_, _, err = b.PartByFile(t.Context(), "file-complete-1")
	b.wantErr("a file of a cancelled job", err, store.ErrNotFound)

	for _, id := range []string{"accepted", "selecting", "writing", "complete"} {
		if job := b.state(id, store.Cancelled); job.Expires != expires || job.Finished != noon {
			t.Errorf("cancelled job: %+v", job)
		}
		b.wantErr("a second cancel", b.Cancel(t.Context(), id, "anna", noon, expires), store.ErrNotFound)
		b.must(b.Fail(t.Context(), id, "too late", noon, expires))
		b.state(id, store.Cancelled)
		parts, err := b.Parts(t.Context(), id)
		b.must(err)
		if len(parts) != 0 {
			t.Errorf("%s: a cancelled job keeps %d parts", id, len(parts))
		}
		_, err = b.Selection(t.Context(), id, fhir.Practitioner)
		b.wantErr("the selection of a cancelled job", err, store.ErrNotFound)
	}
	if task := b.claim("w", later); task != nil {
		t.Errorf("cancelled jobs have a task: %+v", task)
	}
}

func testForeignCancel(t *testing.T, b jobsTest) {
	b.create("job", 0)
	b.wantErr("cancel by another", b.Cancel(t.Context(), "job", "bob", noon, expires), store.ErrNotFound)
	b.wantErr("cancel of nothing", b.Cancel(t.Context(), "none", "anna", noon, expires), store.ErrNotFound)
	b.state("job", store.Accepted)
}

// testOwned: the jobs of an owner are found until they are cancelled or have expired.
func testOwned(t *testing.T, b jobsTest) {
	want := func(owner string, ids ...string) {
		t.Helper()
		jobs, err := b.Owned(t.Context(), owner)
		b.must(err)
		var got []string
		for _, job := range jobs {
			got = append(got, job.ID)
		}
		if !slices.Equal(got, ids) {
			t.Errorf("jobs of %s: %v, want %v", owner, got, ids)
		}
	}
	want("anna")
	b.complete("done", client.Client{}, 0, expires)
	b.create("live", 1)
	b.must(b.CreateJob(t.Context(), store.Job{ID: "other", Owner: "bob", Request: []byte("{}"), Created: noon}, 0))
	want("anna", "done", "live")
	want("bob", "other")
	b.must(b.Cancel(t.Context(), "live", "anna", noon, expires+1))
	want("anna", "done")
	if _, err := b.Expire(t.Context(), expires, 0); err != nil {
		t.Error(err)
	}
	want("anna")
}

func testFail(t *testing.T, b jobsTest) {
	b.write("job", 0, 2, 2)
	b.finish(b.mustClaim("a", noon))
	task := b.mustClaim("b", noon)
	b.must(b.Fail(t.Context(), "job", "the disk is full", noon, expires))
	b.must(b.Fail(t.Context(), "job", "another reason", noon+1, expires+1))
	if job := b.state("job", store.Failed); job.Reason != "the disk is full" || job.Expires != expires || job.Found != 2 {
		t.Errorf("failed job: %+v", job)
	}
	b.wantErr("renew", b.Renew(t.Context(), task, noon, lease, 0), store.ErrLeaseLost)
	_, err := b.FinishPart(t.Context(), task, object(task), storedAsPlanned(task.Part), noon, expires)
	b.wantErr("finish", err, store.ErrLeaseLost)
	if task := b.claim("w", later); task != nil {
		t.Errorf("a failed job has a task: %+v", task)
	}
	b.wantErr("fail of nothing", b.Fail(t.Context(), "none", "", noon, expires), store.ErrNotFound)
	b.must(b.Cancel(t.Context(), "job", "anna", noon, expires))
}

func testPoll(t *testing.T, b jobsTest) {
	b.create("job", 0)
	set := func(old, next, now fhir.Instant, want bool) {
		t.Helper()
		got, err := b.SetNextPoll(t.Context(), "job", old, next, now)
		b.must(err)
		if got != want {
			t.Errorf("poll from %d to %d: %t, want %t", old, next, got, want)
		}
	}
	set(0, noon+100, noon, true)
	set(0, noon+200, noon+1, false)
	set(noon+100, noon+200, noon+100, true)
	if job := b.state("job", store.Accepted); job.NextPoll != noon+200 || job.Polled != noon+100 {
		t.Errorf("polled at noon%+d, next at noon%+d", job.Polled-noon, job.NextPoll-noon)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	first := 0
	for n := range 8 {
		wg.Go(func() {
			ok, err := b.SetNextPoll(t.Context(), "job", noon+200, noon+300+fhir.Instant(n), noon+200)
			if err != nil {
				t.Error(err)
			}
			if ok {
				mu.Lock()
				first++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if first != 1 {
		t.Errorf("%d of 8 concurrent polls came first", first)
	}
}

func testStalled(t *testing.T, b jobsTest) {
	b.create("accepted", 0)
	b.must(b.Cancel(t.Context(), "accepted", "anna", noon, expires))
	b.create("selecting", 0)
	selecting := b.mustClaim("w", noon)
	b.must(b.BeginSelecting(t.Context(), selecting, noon, noon))
	b.must(b.Renew(t.Context(), selecting, noon+600, lease, 0))
	b.write("writing", 0, 1, 1)
	b.must(b.Renew(t.Context(), b.mustClaim("w", noon), noon+600, lease, 0))
	b.create("waiting", 0)
	b.write("released", 0, 1)
	b.write("fresh", 0, 1)
	b.must(b.Renew(t.Context(), b.mustClaim("w", noon), noon+600, lease, 1))
	stalled, err := b.Stalled(t.Context(), noon+600, 500)
	b.must(err)
	var ids []string
	for _, job := range stalled {
		ids = append(ids, job.ID)
	}
	slices.Sort(ids)
	if diff := cmp.Diff([]string{"selecting", "writing"}, ids); diff != "" {
		t.Errorf("stalled jobs (-want +got):\n%s", diff)
	}
	if live, err := b.Live(t.Context()); err != nil || len(live) != 5 {
		t.Errorf("%d live jobs, %v", len(live), err)
	}
}

// testStalledAttempts checks that attempts that are repeated without progress stall, whether
// a claim is open or not. The wait for a worker does not count.
func testStalledAttempts(t *testing.T, b jobsTest) {
	b.create("job", 0)
	for at := noon + 1000; at < noon+1500; at += 100 {
		b.must(b.Release(t.Context(), b.mustClaim("w", at), at+90, false))
	}
	// The job works since noon+1000 and until noon+1490, with four waits of 10 ms.
	for after, want := range map[int64]int{449: 1, 450: 0} {
		stalled, err := b.Stalled(t.Context(), later, after)
		b.must(err)
		if len(stalled) != want {
			t.Errorf("after %d ms without progress %d jobs are stalled, want %d", after, len(stalled), want)
		}
	}
}

// expire expires jobs, forgets those that expired before a time, and checks how many expired.
func (b jobsTest) expire(now, forget fhir.Instant, want int) {
	b.Helper()
	got, err := b.Expire(b.Context(), now, forget)
	b.must(err)
	if got != want {
		b.Errorf("%d jobs expired, want %d", got, want)
	}
}

func testExpire(t *testing.T, b jobsTest) {
	b.write("complete", 0, 1)
	b.finish(b.mustClaim("w", noon))
	b.create("cancelled", 0)
	b.must(b.Cancel(t.Context(), "cancelled", "anna", noon, expires))
	b.create("failed", 0)
	b.must(b.Fail(t.Context(), "failed", "reason", noon, expires))
	b.create("live", 0)
	b.expire(expires-1, 0, 0)
	b.state("complete", store.Complete)
	b.expire(expires, 0, 3)
	b.expire(expires, expires, 0)
	for _, id := range []string{"complete", "cancelled", "failed"} {
		b.state(id, store.Expired)
		b.wantErr("cancel of an expired job", b.Cancel(t.Context(), id, "anna", noon, expires), store.ErrNotFound)
		b.must(b.Fail(t.Context(), id, "too late", noon, expires))
		b.state(id, store.Expired)
	}
	_, _, err := b.PartByFile(t.Context(), "file-complete-1")
	b.wantErr("a file of an expired job", err, store.ErrNotFound)
	b.state("live", store.Accepted)
	b.expire(expires, expires+1, 0)
	_, err = b.Job(t.Context(), "complete")
	b.wantErr("a deleted job", err, store.ErrNotFound)
	b.state("live", store.Accepted)
}

func testObjects(t *testing.T, b jobsTest) {
	b.write("complete", 0, 1)
	complete := b.mustClaim("w", noon)
	b.finish(complete)
	b.write("writing", 0, 1, 1)
	writing := b.mustClaim("w", noon)
	b.finish(writing)
	b.write("failed", 0, 1, 1)
	b.finish(b.mustClaim("w", noon))
	b.must(b.Fail(t.Context(), "failed", "reason", noon, expires))
	b.create("accepted", 0)
	b.create("cancelled", 0)
	b.must(b.Cancel(t.Context(), "cancelled", "anna", noon, expires))
	objects, jobs, err := b.Objects(t.Context())
	b.must(err)
	if diff := cmp.Diff(map[string]bool{object(complete): true, object(writing): true}, objects); diff != "" {
		t.Errorf("objects (-want +got):\n%s", diff)
	}
	want := map[string]bool{"writing": true, "accepted": true, "complete": false, "failed": false, "cancelled": false}
	if diff := cmp.Diff(want, jobs); diff != "" {
		t.Errorf("jobs and whether they are live (-want +got):\n%s", diff)
	}
}
