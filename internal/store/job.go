package store

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"muster/internal/client"
	"muster/internal/fhir"

	"github.com/RoaringBitmap/roaring/v2/roaring64"
	"github.com/google/uuid"
)

// State is the state of an export job. docs/states.md draws the states; a test compares the
// drawing with [State.CanBecome].
type State string

// The states of a job.
const (
	Accepted  State = "accepted"  // stored; no work has started
	Selecting State = "selecting" // T is drawn provisionally; the selection runs
	Writing   State = "writing"   // selection and T are final; parts are being written
	Complete  State = "complete"  // all parts are written; the counts add up
	Failed    State = "failed"    // ended with a reason
	Cancelled State = "cancelled" // deleted by its client; kept until it expires
	Expired   State = "expired"   // retention is over; files and selection are deleted
)

// transitions lists the next states of each state. Selecting may follow itself after a
// crash: its T is provisional until the state is Writing.
var transitions = map[State][]State{
	Accepted:  {Selecting, Failed, Cancelled},
	Selecting: {Selecting, Writing, Complete, Failed, Cancelled},
	Writing:   {Complete, Failed, Cancelled},
	Complete:  {Cancelled, Expired},
	Failed:    {Cancelled, Expired},
	Cancelled: {Expired},
	Expired:   nil,
}

// States returns all states of a job in their order.
func States() []State {
	return []State{Accepted, Selecting, Writing, Complete, Failed, Cancelled, Expired}
}

// CanBecome reports whether a job may go from s to next.
func (s State) CanBecome(next State) bool { return slices.Contains(transitions[s], next) }

// Live reports whether the job has not ended.
func (s State) Live() bool { return s == Accepted || s == Selecting || s == Writing }

// Job is one export job. Its row has a fixed size: selections and parts are separate rows.
type Job struct {
	ID      string        // UUID, unguessable (KO-51)
	Owner   string        // auth.Principal.ID of the client that started it
	Client  client.Client // who its limits count for; not who may see it
	State   State
	Request []byte // validated request, as package export encodes it

	Created fhir.Instant
	Time    fhir.Instant // transaction time T; provisional while Selecting, zero before
	// Progress is the time of the last progress. Time in which the job waited for a worker
	// does not count: a claim moves Progress by as long as the task could have been claimed.
	Progress fhir.Instant
	// Lease is until when its claims last, or a task that failed may not be claimed again. A
	// job waits for a worker if that is not later than now.
	Lease    fhir.Instant
	Finished fhir.Instant // time at which it became Complete, Failed or Cancelled
	Expires  fhir.Instant // end of retention; zero while live

	Total int64 // resources in all parts; -1 before it is known
	Found int64 // resources selected or written so far, depending on the state
	// Selected is how long its selection has run so far in slices that ended without a
	// result, in ms.
	Selected int64
	Started  fhir.Instant // start of writing; zero before
	// Membership is what it tells of the membership of its filters, from its selection on.
	Membership Membership
	Reason     string // why it failed, as text for the client

	Polled   fhir.Instant // time of the last answered poll; zero before the first
	NextPoll fhir.Instant // requested time of the next poll; zero before the first
}

// At returns the job as of now: a job whose retention is over is Expired, even if the janitor has
// not run since. No other code compares Expires with the time.
func (j Job) At(now fhir.Instant) Job {
	if !j.State.Live() && now >= j.Expires {
		j.State = Expired
	}
	return j
}

// PartKind says what the lines of a part are, and so where the manifest lists its file.
type PartKind string

// The kinds of parts.
const (
	PartRows     PartKind = "rows"     // resources of the selection, of one type
	PartRemoved  PartKind = "removed"  // Bundles that delete what was removed (MA-08)
	PartList     PartKind = "list"     // the removal List (MA-11)
	PartLeft     PartKind = "left"     // a List of what has left the filters
	PartOutcomes PartKind = "outcomes" // OperationOutcomes (MA-05)
)

// Part is one output file of a job. A part of PartRows is a range of row keys of one type, and
// its lines are read as of the transaction time when it is written. All other parts consist of
// lines that are generated and stored with the selection, so that a part that is written again
// has the same bytes.
type Part struct {
	JobID  string
	Number int       // from 1, in manifest order
	Kind   PartKind  // Defaults to PartRows.
	File   string    // Binary id: UUID, unguessable
	Type   fhir.Type // of PartRows; 0 for all other kinds
	First  RowKey    // first and last key of the selection in this part; 0 for all other kinds
	Last   RowKey
	Count  int64 // resources, which are lines
	Bytes  int64 // planned NDJSON bytes

	// Content is the NDJSON of a part that is not of PartRows, as a gzip stream. Only
	// StoreSelection reads it; [JobReader].PartContent returns it until the part is done.
	Content []byte

	Done   bool
	Object string // name of the blob; set when Done
	Stored Stored
}

// ResourceType returns the type of the resources in the file, as the manifest names it.
func (p Part) ResourceType() string {
	switch p.Kind {
	case PartRemoved:
		return "Bundle"
	case PartList, PartLeft:
		return "List"
	case PartOutcomes:
		return "OperationOutcome"
	default:
		return p.Type.String()
	}
}

// Stored describes the written file of a part. The writer counts Count and Bytes; a job
// becomes Complete only if they equal the planned values.
type Stored struct {
	Count     int64 // lines
	Bytes     int64 // identity bytes
	GzipBytes int64
	SHA256    string // hex, of the identity bytes
	Index     []byte // fragment index of the gzip stream, as package part encodes it
}

// Selection is the fixed set of selected rows of one type of a job.
type Selection struct {
	Type fhir.Type
	Keys *roaring64.Bitmap
}

// Task is a claimed task: the selection of a job (Part is nil) or one of its parts. Fence
// is the fencing token that distinguishes the claims of one task.
type Task struct {
	Job     Job
	Part    *Part
	Worker  string
	Fence   int64
	Attempt int // from 1
}

// Errors of the store.
var (
	ErrNotFound    = errors.New("no such job")
	ErrTooManyJobs = errors.New("too many exports of this client are running")
	// ErrLeaseLost reports that a claim is not the current one any more: the worker must
	// stop and change nothing.
	ErrLeaseLost = errors.New("the lease of this work was lost")
	// ErrTooCostly reports that a search or a selection exceeded its deadline.
	ErrTooCostly = errors.New("the search takes too long: narrow it")
	// ErrBusy reports that a search or a read waited too long for its turn.
	ErrBusy = errors.New("the server is busy with other searches: try again later")
	// ErrCancelled reports to a worker that its job was cancelled.
	ErrCancelled = errors.New("the job was cancelled")
)

// Jobs is the store of export jobs. Each method is one transaction. The methods are safe
// for use by several goroutines. Callers pass the time; all callers use the same clock.
type Jobs interface {
	JobReader
	JobControl
	JobQueue
	JobWriter
	JobRetention
	MembersStore
}

// JobReader reads jobs and their results.
type JobReader interface {
	// Job returns a job in any state, or [ErrNotFound].
	Job(ctx context.Context, id string) (Job, error)
	// Parts returns the parts of a job by number.
	Parts(ctx context.Context, id string) ([]Part, error)
	// PartByFile returns the part of a Complete job with a Binary id, and the job. It
	// returns [ErrNotFound] for parts of jobs in other states.
	PartByFile(ctx context.Context, file string) (Part, Job, error)
	// Live returns the jobs that have not ended, oldest first.
	Live(ctx context.Context) ([]Job, error)
	// Owned returns the jobs of an owner that are neither Cancelled nor Expired, oldest first.
	Owned(ctx context.Context, owner string) ([]Job, error)
	// Selection returns the selected rows of one type of a job.
	Selection(ctx context.Context, id string, t fhir.Type) (Selection, error)
	// PartContent returns the Content of a part that is not of PartRows and not done. It
	// returns a [damage.Error] if the content was changed.
	PartContent(ctx context.Context, id string, number int) ([]byte, error)
}

// JobControl carries out what clients request: kick-off, poll and delete.
type JobControl interface {
	// CreateJob stores a job in state Accepted. It returns [ErrTooManyJobs] when the
	// client already has limit live jobs, under one of its allowances; limit 0 means no
	// limit (KO-52).
	CreateJob(ctx context.Context, job Job, limit int) error
	// CheckLive returns [ErrTooManyJobs] if CreateJob with the limit would now return it. It takes
	// no lock, so it costs little to refuse a client that has reached its limit.
	CheckLive(ctx context.Context, c client.Client, limit int) error
	// CheckQuota returns an [OverQuota] error if the files of the client of a job, or those of
	// all clients, take as much as q allows: files of Complete jobs until they expire, and what
	// is written or planned of jobs that are Writing. A job that is Writing counts itself, and
	// must not exceed q; any other job must find room.
	CheckQuota(ctx context.Context, job Job, q Quota, now fhir.Instant) error
	// Cancel moves a job to Cancelled and deletes its selection and parts (DE-01). It
	// returns [ErrNotFound] for a job that is Cancelled or Expired, or that belongs to
	// another owner. Renew reports the cancellation to the workers of the job.
	Cancel(ctx context.Context, id, owner string, now, expires fhir.Instant) error
	// SetNextPoll records a poll that was answered at now, and the earliest time of the
	// next poll, if the recorded time is still old. It returns false if another poll
	// came first.
	SetNextPoll(ctx context.Context, id string, old, next, now fhir.Instant) (bool, error)
}

// UseWindow is for how long the work for a client counts when its turn is decided.
const UseWindow = 10 * time.Minute

// SmallPart is the size of a part, in bytes of NDJSON, up to which it does not count as work for its
// client. Its selection counts. So a client that exports a few resources goes before clients that
// begin one export after another. An export whose parts have that size in all is written before any
// other work, since its selection had to wait for its turn already.
const SmallPart = 256 << 10

// Bounds limits which tasks a worker claims. The zero value means any task.
type Bounds struct {
	// Selected is the time in ms that a selection must not have reached ([Job].Selected); 0
	// means no limit.
	Selected int64
	// PartBytes is the largest part, in planned bytes; 0 means no limit.
	PartBytes int64
}

// JobQueue hands out the work of jobs under leases, for the engine (package job).
type JobQueue interface {
	// Claim assigns a task within the bounds to worker until now+lease (ms): a task that
	// no worker has claimed, or whose lease has ended. The parts of small exports
	// ([SmallPart]) go first. Then the client with the fewest current claims goes first, among equals the one for which workers have worked least in the
	// last [UseWindow]. The clients of a [client.Client.Wider] network count together: a
	// quarter of the work for all of them counts for each, if that is more. Among equal
	// clients selections come first, oldest job first, then parts, one job after the other
	// in turn. Claim returns nil if there is no task.
	Claim(ctx context.Context, worker string, now fhir.Instant, lease int64, within Bounds) (*Task, error)
	// Renew extends the lease and records how many resources this claim has found or
	// written so far. Job.Found is the sum over the current claims of parts, so a repeated
	// part is not counted twice, and the most that a claim of the selection has found.
	// Renew returns [ErrCancelled] or [ErrLeaseLost] when the worker must stop. It counts
	// the time since the claim, or since it was last renewed, for the client.
	Renew(ctx context.Context, t *Task, now fhir.Instant, lease int64, found int64) error
	// EndSlice ends the claim of a selection that has run for some ms and was interrupted.
	// The selection can be claimed again at once, and the claim does not count as an
	// attempt. The job has no transaction time until then. EndSlice ignores a claim that
	// is not current any more.
	EndSlice(ctx context.Context, t *Task, ran int64, now fhir.Instant) error
	// Release ends a claim: the task can be claimed again at retry. After a temporary
	// error, failed is true and the claim counts as an attempt. A worker that only
	// stops sets it to false, and the claim does not count. Release ignores a claim
	// that is not current any more.
	Release(ctx context.Context, t *Task, retry fhir.Instant, failed bool) error
	// Fail ends a live job with a reason. It ignores a job that has ended.
	Fail(ctx context.Context, id, reason string, now, expires fhir.Instant) error
	// Stalled returns the live jobs that have made no progress for more than some ms in which
	// workers had claimed them, or waited to repeat an attempt. Time in which a job waits for a
	// worker does not count: the workers are busy with others, each of which ends or stalls.
	Stalled(ctx context.Context, now fhir.Instant, after int64) ([]Job, error)
}

// JobWriter stores the results of claimed tasks. Its methods return [ErrCancelled] or
// [ErrLeaseLost] when the claim is not current any more.
type JobWriter interface {
	// BeginSelecting moves the job to Selecting with the provisional transaction time.
	BeginSelecting(ctx context.Context, t *Task, at fhir.Instant, now fhir.Instant) error
	// StoreSelection stores the selection and the parts with their contents, makes the
	// transaction time final, and moves the job to Writing, or to Complete (until expires)
	// when there are no parts (D7).
	StoreSelection(ctx context.Context, t *Task, selections []Selection, parts []Part, now, expires fhir.Instant) error
	// FinishPart marks the part as done and returns the new state of the job. After the
	// last part, the job becomes Complete if the written counts of all parts add up to
	// the selection and the stored contents, and Failed if they do not. It becomes Failed at
	// once if this part differs from the plan.
	FinishPart(ctx context.Context, t *Task, object string, stored Stored, now, expires fhir.Instant) (State, error)
}

// JobRetention deletes jobs and lists their files, for the janitor.
type JobRetention interface {
	// Expire moves ended jobs whose retention is over to Expired and deletes their
	// selections and parts. It also deletes jobs that expired before forget, and the work
	// for clients that does not count any more. It returns how many jobs expired.
	Expire(ctx context.Context, now, forget fhir.Instant) (int, error)
	// CorrectTimes corrects the times that lie more than ahead ms after now, since the clock was
	// set back: claims and waits end then, a job without progress stalls as from now, and an
	// ended job is kept for as long as from now. Without a correction all of them would last
	// until the clock has caught up, which may be never. It returns how many tasks and jobs
	// it has corrected.
	CorrectTimes(ctx context.Context, now fhir.Instant, ahead int64) (int, error)
	// Objects returns the names of all blobs that parts name, and the ids of all jobs
	// with whether they are live, in one snapshot. The blobs of a live job may not be
	// named by a part yet.
	Objects(ctx context.Context) (objects, jobs map[string]bool, err error)
}

// JobOf returns the id of the job that a blob belongs to, according to its name, and
// whether the id has the form of the ids of exports. muster did not write a blob with
// another form.
func JobOf(object string) (id string, ours bool) {
	id, _, _ = strings.Cut(object, "/")
	return id, len(id) == 36 && uuid.Validate(id) == nil
}

// OrphanGrace is how long a blob whose job is not in the store is kept after its last
// change. It may belong to another directory, if an operator swapped the two by mistake;
// the delay leaves time to notice.
const OrphanGrace = time.Hour

// Store is what a driver implements: one data directory with resources and jobs.
type Store interface {
	Directory
	ChangeLog
	Searcher
	// Reads returns a searcher for reads by id. It has connections of its own, so that a read
	// does not wait for searches.
	Reads() Searcher
	Secrets
	Jobs
	Registry
	Close() error
}
