package export

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
	_ "time/tzdata" // makes the default zone available on each machine (D11)

	"muster/internal/auth"
	"muster/internal/blob"
	"muster/internal/client"
	"muster/internal/damage"
	"muster/internal/failpoint"
	"muster/internal/fhir"
	"muster/internal/job"
	"muster/internal/policy"
	"muster/internal/search"
	"muster/internal/store"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"
)

// Config configures a [Service]. Store, Blobs, Compiler and BaseURL are required. For all
// other fields the zero value, and negative numbers unless the field says otherwise,
// select the default.
type Config struct {
	Store    store.Store
	Blobs    blob.Store
	Compiler *search.Compiler
	BaseURL  string // without a trailing slash (D11)

	// Zone is the time zone of the times in manifests. Defaults to Australia/Sydney.
	Zone *time.Location
	// Now returns the current time. Defaults to time.Now.
	Now func() time.Time
	// Logger defaults to slog.Default.
	Logger *slog.Logger

	// Workers is the number of tasks that run concurrently. Defaults to 2.
	Workers int
	// PartBytes is the size of a part in bytes of NDJSON. Defaults to 256 MiB.
	PartBytes int64
	// JobsPerPrincipal limits the live jobs of one client (KO-52), as package client counts, unless its
	// policy has a limit. Zero means no limit.
	JobsPerPrincipal int
	// Quota limits the bytes on disk of the files of one client and of all. No file is removed
	// before it expires: a kick-off beyond a limit is refused, and an export that does not fit
	// fails. The zero value means no limits.
	Quota store.Quota
	// Retention is how long files and manifest are kept after a job has ended (PO-13,
	// RE-09). Defaults to 24 hours.
	Retention time.Duration
	// Forget is how long the row of an expired job is kept. Defaults to 7 days.
	Forget time.Duration
	// KeepRemovals is how long removals are kept. A _since before that is refused, unless it is
	// before 2000. Zero keeps them all.
	KeepRemovals time.Duration
	// MembershipBytes limits what is kept of earlier exports so that later ones can say what has
	// left their filters, in bytes. Zero means that nothing is kept, and that no later export can.
	MembershipBytes int64
	// Lease is how long the claims of a crashed server remain valid. Defaults to 5 seconds.
	Lease time.Duration
	// StallAfter is how long a job that a worker has claimed may make no progress before it
	// fails. Defaults to 10 minutes.
	StallAfter time.Duration
	// Log is the log of the database, if open snapshots make it grow. Optional.
	Log store.WriteAheadLog
	// LogLimit is the size of Log in bytes beyond which selections are interrupted
	// ([DefaultLogLimit]). Zero means no limit.
	LogLimit int64
	// SweepEvery is the interval between two runs of the janitor. Defaults to 1 minute.
	SweepEvery time.Duration
	// StrangerAge is how long the janitor keeps a file whose job is in no row of Store,
	// measured from its last change by the clock of this machine instead of Now. Defaults
	// to [store.OrphanGrace].
	StrangerAge time.Duration
	// Owned returns an error if Blobs belongs to another directory. The janitor calls it
	// before it removes files, and removes none after an error until its next run. Defaults
	// to nil, which means that Blobs cannot have another owner.
	Owned func(context.Context) error

	// Rules configure the parsing of a request.
	Rules Rules
	// Suppressed configures which clients may see suppressed resources. The zero value is
	// the strictest.
	Suppressed policy.SuppressedRules

	// PollLimit is the treatment of polls that come too early. Defaults to PollEnforce.
	PollLimit PollLimit
	// PollInterval is the wait between polls (PO-10). Defaults to a wait that adapts to the
	// remaining time, between 1 second and 2 minutes (D8).
	PollInterval time.Duration
	// RequiresAccessToken is the member of the manifest (MA-03). It is true if and only if
	// the server requires bearer tokens.
	RequiresAccessToken bool

	// Observer receives events for metrics. Optional.
	Observer Observer

	// engine holds the intervals of the engine; tests shorten them.
	engine job.Config
}

// Observer receives events for metrics. Its methods may be called concurrently.
type Observer interface {
	// PartWritten is called for each finished output file, with its number of resources, its
	// bytes of NDJSON and its bytes on disk.
	PartWritten(resources, bytes, stored int64)
	// JobEnded is called when a live job becomes Complete, Failed or Cancelled.
	JobEnded(state store.State)
	// Removed is called when the janitor or a DELETE removes something: [RemovedExport] or
	// [RemovedFile].
	Removed(what string, n int)
	// Damaged is called when a job fails because stored data are damaged, and when damage of the
	// log of the database is noticed.
	Damaged(kind damage.Kind)
	// SelectionInterrupted is called when a selection is interrupted and will be begun
	// again: [InterruptedBySlice] or [InterruptedByLog].
	SelectionInterrupted(by string)
}

// The values of by in [Observer].SelectionInterrupted.
const (
	InterruptedBySlice = "slice" // its slice has ended
	InterruptedByLog   = "log"   // the log of the database was beyond its limit
)

// The values of what in [Observer].Removed.
const (
	RemovedExport = "export" // an export that has expired or was deleted by its client
	RemovedFile   = "file"   // a file that no part row names
)

// noopObserver ignores all events.
type noopObserver struct{}

func (noopObserver) PartWritten(_, _, _ int64)   {}
func (noopObserver) JobEnded(store.State)        {}
func (noopObserver) Removed(string, int)         {}
func (noopObserver) Damaged(damage.Kind)         {}
func (noopObserver) SelectionInterrupted(string) {}

func (c Config) withDefaults() Config {
	if c.Zone == nil {
		c.Zone = defaultZone()
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	c.PartBytes = cmp.Or(max(0, c.PartBytes), DefaultPartBytes)
	c.JobsPerPrincipal = max(0, c.JobsPerPrincipal)
	c.Retention = cmp.Or(max(0, c.Retention), DefaultRetention)
	c.Forget = cmp.Or(max(0, c.Forget), DefaultForget)
	c.KeepRemovals = max(0, c.KeepRemovals)
	c.MembershipBytes = max(0, c.MembershipBytes)
	c.SweepEvery = cmp.Or(max(0, c.SweepEvery), DefaultSweepEvery)
	c.StrangerAge = cmp.Or(max(0, c.StrangerAge), store.OrphanGrace)
	if c.Owned == nil {
		c.Owned = func(context.Context) error { return nil }
	}
	c.PollLimit = cmp.Or(c.PollLimit, PollEnforce)
	if c.Observer == nil {
		c.Observer = noopObserver{}
	}
	return c
}

// defaultZone returns the time zone of the national directory. Its data are embedded, so
// the fallback is never used.
func defaultZone() *time.Location {
	zone, err := time.LoadLocation(DefaultZone)
	if err != nil {
		return time.UTC
	}
	return zone
}

// Service implements bulk export. Create it with [New]. Its methods are safe for
// concurrent use. The client is the principal in the context (package auth): jobs and
// files of other clients are treated as unknown (PO-08, RE-10).
type Service struct {
	Config
	jobs    store.Jobs
	engine  *job.Engine
	deleted *deletions
	log     *logLimit
}

// New returns a service. Jobs can be started, polled and cancelled at once; [Service.Run]
// does their work.
func New(c Config) *Service {
	c = c.withDefaults()
	s := &Service{Config: c, jobs: c.Store, deleted: newDeletions(), log: &logLimit{log: c.Log, limit: max(0, c.LogLimit), logger: c.Logger,
		interrupted: func() { c.Observer.SelectionInterrupted(InterruptedByLog) }, damaged: c.Observer.Damaged}}
	engine := c.engine
	engine.Jobs, engine.Work, engine.Now, engine.Logger = c.Store, s.work, c.Now, c.Logger
	engine.Lease = cmp.Or(c.Lease, engine.Lease)
	engine.Workers, engine.StallAfter, engine.Retention = c.Workers, c.StallAfter, c.Retention
	engine.Failed = func(string) { c.Observer.JobEnded(store.Failed) }
	s.engine = job.New(engine)
	return s
}

// Run does the work of jobs and runs the janitor until ctx ends. Work in progress is
// released, and the next Run resumes it. Run is called once.
func (s *Service) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.engine.Run(ctx) })
	g.Go(func() error { return s.runJanitor(ctx) })
	g.Go(func() error { return s.removeDeletedFiles(ctx) })
	g.Go(func() error { return s.log.watch(ctx) })
	return g.Wait()
}

// The errors of a job that cannot be cancelled any more.
var (
	ErrAlreadyDeleted = errors.New("this export was already deleted")
	ErrExpired        = errors.New("this export has expired")
)

// TooManyJobs is the error of a kick-off beyond Config.JobsPerPrincipal (KO-52).
// It wraps [store.ErrTooManyJobs].
type TooManyJobs struct {
	RetryAfter int // whole seconds
}

// Error implements error.
func (e TooManyJobs) Error() string {
	return fmt.Sprintf("%v: wait for one to end, or cancel one, and try again in %d s", store.ErrTooManyJobs, e.RetryAfter)
}

// Unwrap returns [store.ErrTooManyJobs].
func (e TooManyJobs) Unwrap() error { return store.ErrTooManyJobs }

// NoRoom is the error of a kick-off beyond Config.Quota. It wraps [store.OverQuota].
type NoRoom struct {
	*store.OverQuota
	RetryAfter int // whole seconds until the first of the exports that count expires
}

// Unwrap returns the [store.OverQuota].
func (e NoRoom) Unwrap() error { return e.OverQuota }

// ParseRequest parses the body of a kick-off of the principal in ctx; see the function
// [ParseRequest].
func (s *Service) ParseRequest(ctx context.Context, body []byte) (Request, error) {
	return ParseRequest(body, s.Compiler, s.Rules, s.access(ctx))
}

// KickOff stores a job for the request and returns its id, a random UUID (KO-51). It
// returns a [TooManyJobs] error if the client in ctx (package client) has reached the limit of
// live jobs, a [NoRoom] error if there is no room for its files, and a fhir.Issue if the directory
// does not know all that has changed since r.Since.
func (s *Service) KickOff(ctx context.Context, r Request) (jobID string, err error) {
	if err := s.checkSince(ctx, r); err != nil {
		return "", refusedSince(err)
	}
	id, err := uuid.NewRandom()
	if err != nil {
		return "", fmt.Errorf("start an export: %w", err)
	}
	stored, err := r.encode(s.BaseURL)
	if err != nil {
		return "", fmt.Errorf("start an export: %w", err)
	}
	job := store.Job{ID: id.String(), Owner: auth.From(ctx).ID, Client: client.From(ctx), Request: stored, Created: s.now()}
	if err := s.createJob(ctx, job); err != nil {
		return "", err
	}
	if err := failpoint.Inject(ctx, "export.accepted"); err != nil {
		return "", err
	}
	s.engine.Wake()
	return job.ID, nil
}

// createJob stores a job, within the limits of its client. Most refusals come from the check of the
// live jobs, which costs least.
func (s *Service) createJob(ctx context.Context, job store.Job) error {
	limit := cmp.Or(auth.From(ctx).Policy.Jobs, s.JobsPerPrincipal)
	err := s.jobs.CheckLive(ctx, job.Client, limit)
	if err == nil {
		if err := s.checkRoom(ctx, job); err != nil {
			return err
		}
		err = s.jobs.CreateJob(ctx, job, limit)
	}
	if errors.Is(err, store.ErrTooManyJobs) {
		return TooManyJobs{RetryAfter: s.seconds(tooManyJobsWait)}
	}
	if err != nil {
		return fmt.Errorf("start an export: %w", err)
	}
	return nil
}

// checkRoom returns a [NoRoom] error if there is no room for the files of a new job.
func (s *Service) checkRoom(ctx context.Context, job store.Job) error {
	now := s.now()
	err := s.jobs.CheckQuota(ctx, job, s.Quota, now)
	full, ok := errors.AsType[*store.OverQuota](err)
	switch {
	case err == nil:
		return nil
	case !ok:
		return fmt.Errorf("start an export: %w", err)
	case full.Frees == 0: // until one that is running has ended
		return NoRoom{full, s.seconds(tooManyJobsWait)}
	}
	return NoRoom{full, max(1, wholeSeconds(full.Frees-now))}
}

// ownedJob returns a job of the principal in ctx as of now. A job of another principal is
// [store.ErrNotFound]. If the token does not cover what the files tell about, the error is a
// fhir.Issue with the code forbidden.
func (s *Service) ownedJob(ctx context.Context, id string) (store.Job, error) {
	job, err := s.jobs.Job(ctx, id)
	if err != nil {
		return store.Job{}, err
	}
	if job.Owner != auth.From(ctx).ID {
		return store.Job{}, store.ErrNotFound
	}
	return job.At(s.now()), s.checkTypes(ctx, job)
}

// Cancel cancels a live job or deletes an ended one. From then on its files cannot be opened;
// [Service.Run] removes them, so that a DELETE costs the same for any number of files. Its
// workers stop within a heartbeat (DE-01, DE-03, DE-05). A job that is
// unknown or belongs to another client is [store.ErrNotFound], one that was deleted before
// [ErrAlreadyDeleted], and one that has expired [ErrExpired], whether or not it was deleted
// before it expired (DE-04).
func (s *Service) Cancel(ctx context.Context, jobID string) error {
	job, err := s.ownedJob(ctx, jobID)
	if err != nil {
		return err
	}
	if job.State == store.Expired {
		return ErrExpired
	}
	if !job.State.CanBecome(store.Cancelled) {
		return ErrAlreadyDeleted
	}
	err = s.jobs.Cancel(ctx, job.ID, job.Owner, s.now(), s.expires())
	if errors.Is(err, store.ErrNotFound) {
		return ErrAlreadyDeleted // by a concurrent request
	}
	if err != nil {
		return fmt.Errorf("cancel job %s: %w", job.ID, err)
	}
	if job.State.Live() {
		s.Observer.JobEnded(store.Cancelled)
	} else {
		s.Observer.Removed(RemovedExport, 1)
	}
	// The job is cancelled now, even if the client disconnects.
	if err := failpoint.Inject(ctx, "export.cancelled"); err != nil {
		return err
	}
	s.deleted.add(job.ID)
	return nil
}

func (s *Service) now() fhir.Instant     { return fhir.InstantOf(s.Now()) }
func (s *Service) expires() fhir.Instant { return fhir.InstantOf(s.Now().Add(s.Retention)) }

// work runs a claimed task.
func (s *Service) work(ctx context.Context, c *job.Claim) error {
	do := s.writePart
	if c.Task.Part == nil {
		do = s.selectRows
	}
	err := do(ctx, c)
	if kind, ok := damage.KindOf(err); ok {
		s.Observer.Damaged(kind)
	}
	return err
}
