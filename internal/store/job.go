package store

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"muster/internal/fhir"

	"github.com/RoaringBitmap/roaring/v2/roaring64"
	"github.com/google/uuid"
)

// State is the state of an export job. docs/states.md draws them; a test holds
// the drawing against [State.CanBecome].
type State string

// The states of a job.
const (
	Accepted  State = "accepted"  // stored, nothing done yet
	Selecting State = "selecting" // a provisional T is drawn, the selection runs
	Writing   State = "writing"   // selection and T are fixed, parts are being written
	Complete  State = "complete"  // every part is there, the counts add up
	Failed    State = "failed"    // ended with a reason
	Cancelled State = "cancelled" // deleted by its client; a tombstone until it expires
	Expired   State = "expired"   // retention is over; files and selection are gone
)

// transitions lists where each state may go. Selecting may be entered again after
// a crash: its T is provisional until the state is Writing.
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

// Live reports whether work on the job goes on.
func (s State) Live() bool { return s == Accepted || s == Selecting || s == Writing }

// Job is one export job. Its row has a fixed size: selections and parts are rows
// of their own.
type Job struct {
	ID      string // UUID, unguessable (KO-51)
	Owner   string // auth.Principal.ID of the client that started it
	State   State
	Request []byte // the validated request as the export package writes it

	Created  fhir.Instant
	Time     fhir.Instant // transaction time T; provisional while Selecting, zero before
	Progress fhir.Instant // when work last advanced
	Finished fhir.Instant // when it became Complete, Failed or Cancelled
	Expires  fhir.Instant // end of retention; zero while live

	Total   int64        // resources in the selection; -1 before it is known
	Found   int64        // resources selected or written so far, as the state says
	Started fhir.Instant // when writing began; zero before
	Reason  string       // why it failed, for people

	Polled   fhir.Instant // when the last poll was answered; zero before the first
	NextPoll fhir.Instant // when the next poll was asked for; zero before the first
}

// Part is one output file of a job: a run of row keys of one type.
type Part struct {
	JobID  string
	Number int    // from 1, in the order of the manifest
	File   string // id of the Binary it is fetched by: UUID, unguessable
	Type   fhir.Type
	First  RowKey // first and last key of the selection in this part
	Last   RowKey
	Count  int64 // resources
	Bytes  int64 // NDJSON bytes, planned

	Done   bool
	Object string // name of the blob; set when Done
	Stored Stored
}

// Stored describes the written bytes of a part. Count and Bytes are what the
// writer counted, not what was planned: a job is Complete only when both agree.
type Stored struct {
	Count     int64 // lines
	Bytes     int64 // identity bytes
	GzipBytes int64
	SHA256    string // hex, of the identity bytes
	Index     []byte // fragment index of the gzip stream, as package part writes it
}

// Selection is the frozen set of rows of one type of a job.
type Selection struct {
	Type fhir.Type
	Keys *roaring64.Bitmap
}

// Task is a claimed piece of work: the selection of a job (Part is nil) or one of
// its parts. Fence tells this claim from earlier and later ones of the same work.
type Task struct {
	Job     Job
	Part    *Part
	Worker  string
	Fence   int64
	Attempt int // from 1
}

// Errors of the job store.
var (
	ErrNotFound    = errors.New("no such job")
	ErrTooManyJobs = errors.New("too many exports of this client are running")
	// ErrLeaseLost tells a worker that its claim is no longer the current one: it
	// must stop and leave everything as it is.
	ErrLeaseLost = errors.New("the lease of this work was lost")
	// ErrTooCostly tells that a search or a selection ran into its deadline.
	ErrTooCostly = errors.New("the search takes too long: narrow it")
	// ErrCancelled tells a worker that the job was cancelled.
	ErrCancelled = errors.New("the job was cancelled")
)

// Jobs is the store of export jobs. Each method is one transaction. Safe for use
// by several goroutines; times are handed in, in one clock.
type Jobs interface {
	// CreateJob stores a job in state Accepted. It returns [ErrTooManyJobs] when
	// the owner has limit live jobs already; limit 0 means no limit (KO-52).
	CreateJob(ctx context.Context, job Job, limit int) error
	// Job returns a job in any state, or [ErrNotFound].
	Job(ctx context.Context, id string) (Job, error)
	// Parts returns the parts of a job by number.
	Parts(ctx context.Context, id string) ([]Part, error)
	// PartByFile finds a part of a Complete job by its Binary id, with its job.
	// Parts of jobs in other states are [ErrNotFound].
	PartByFile(ctx context.Context, file string) (Part, Job, error)
	// Selection returns the frozen rows of one type of a job.
	Selection(ctx context.Context, id string, t fhir.Type) (Selection, error)

	// Claim gives a piece of work that nobody holds, or whose lease has ended, to
	// worker until now+lease (ms): first selections, oldest job first, then parts,
	// taking turns between jobs. It returns nil when there is none.
	Claim(ctx context.Context, worker string, now fhir.Instant, lease int64) (*Task, error)
	// Renew extends the lease and notes how many resources this claim has found or
	// written so far; the job's SearchResult is the sum over its work, so a repeated part
	// is not counted twice. It returns [ErrCancelled] or [ErrLeaseLost] when the
	// worker must stop.
	Renew(ctx context.Context, t *Task, now fhir.Instant, lease int64, found int64) error
	// Release gives work back: it can be claimed again at retry. After an error
	// that may pass, failed is true and the claim counts as an attempt; a worker
	// that only stops sets it to false, and the claim does not count. A claim that
	// is not current any more is left as it is.
	Release(ctx context.Context, t *Task, retry fhir.Instant, failed bool) error

	// BeginSelecting moves the job to Selecting with the provisional T.
	BeginSelecting(ctx context.Context, t *Task, at fhir.Instant, now fhir.Instant) error
	// StoreSelection fixes the selection, T and the parts, and moves the job to
	// Writing, or to Complete (expiring at expires) when there are no parts (D7).
	StoreSelection(ctx context.Context, t *Task, selections []Selection, parts []Part, now, expires fhir.Instant) error
	// FinishPart marks the part done. When it was the last one and the written
	// counts of all parts add up to the selection, the job becomes Complete; when
	// they do not, or this part is not what was planned, it becomes Failed. The new
	// state of the job is returned.
	FinishPart(ctx context.Context, t *Task, object string, stored Stored, now, expires fhir.Instant) (State, error)
	// Fail ends a live job with a reason. It does nothing to a job that ended.
	Fail(ctx context.Context, id, reason string, now, expires fhir.Instant) error

	// Cancel moves a job to Cancelled and forgets its selection and parts (DE-01).
	// A job that is Cancelled or Expired, or of another owner, is [ErrNotFound].
	// Workers on it learn of it by Renew.
	Cancel(ctx context.Context, id, owner string, now, expires fhir.Instant) error
	// SetNextPoll notes a poll answered at now and the moment asked for the next
	// one, if that moment still is old; false means another poll came first.
	SetNextPoll(ctx context.Context, id string, old, next, now fhir.Instant) (bool, error)

	// Stalled returns the live jobs without progress since before.
	Stalled(ctx context.Context, before fhir.Instant) ([]Job, error)
	// Expire moves ended jobs whose retention is over to Expired, forgetting their
	// selections and parts, drops Expired jobs older than forget, and returns how
	// many expired.
	Expire(ctx context.Context, now, forget fhir.Instant) (int, error)
	// Objects returns the names of all blobs that a part row names, and the ids of all
	// jobs with whether they are live: the blobs of a live job may not have a row yet.
	// Both are of one moment.
	Objects(ctx context.Context) (objects, jobs map[string]bool, err error)
}

// JobOf returns the id of the job that a blob belongs to by its name, and whether that has the
// form of the ids of exports. A blob of another form was put there by somebody else.
func JobOf(object string) (id string, ours bool) {
	id, _, _ = strings.Cut(object, "/")
	return id, len(id) == 36 && uuid.Validate(id) == nil
}

// OrphanGrace is how long a blob is left alone whose job is in no row, from its last change on:
// it may belong to a directory that was put in the place of this one by mistake, or the other way
// round, and somebody needs the time to notice.
const OrphanGrace = time.Hour

// Store is what a driver offers: one data directory with resources and jobs.
type Store interface {
	Directory
	Searcher
	Secrets
	Jobs
	Close() error
}
