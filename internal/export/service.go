package export

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
	_ "time/tzdata" // the default zone must exist on every machine (D11)

	"muster/internal/auth"
	"muster/internal/blob"
	"muster/internal/failpoint"
	"muster/internal/fhir"
	"muster/internal/job"
	"muster/internal/policy"
	"muster/internal/search"
	"muster/internal/store"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"
)

// Config is what a [Service] needs. Store, Blobs, Compiler and BaseURL must be
// set; the other zero values stand for the defaults named here, and so do
// negative numbers and durations unless a field says otherwise.
type Config struct {
	Store    store.Store
	Blobs    blob.Store
	Compiler *search.Compiler
	BaseURL  string // without a slash at the end (D11)

	Zone   *time.Location   // of the times in manifests: Australia/Sydney
	Now    func() time.Time // time.Now
	Logger *slog.Logger     // slog.Default

	Workers   int   // pieces of work at a time: 2
	PartBytes int64 // identity bytes after which a part is full: 256 MiB
	// JobsPerPrincipal limits the live jobs of one client (KO-52). Zero means no limit.
	JobsPerPrincipal int
	// Retention is how long files and manifest stay (PO-13, RE-09): 24 hours.
	Retention time.Duration
	// Forget is how long an expired job is still known to be over: 7 days.
	Forget time.Duration
	// Lease is how long work of a server that died stays with it: 5 seconds.
	Lease time.Duration
	// StallAfter is how long a job may stand still before it fails: 10 minutes.
	StallAfter time.Duration
	// SweepEvery is the pause between two rounds of the janitor: 1 minute.
	SweepEvery time.Duration
	// StrangerAge is how long a file stays whose job is in no row of Store, by its time of
	// change and the clock of this machine, whatever Now says: [store.StrangerAge].
	StrangerAge time.Duration
	// Owned tells in an error that Blobs is not this directory's any more: the janitor then
	// removes nothing, and asks again in its next round. It is called before each round that
	// would remove files. Defaults to nil: nobody else can have it.
	Owned func(context.Context) error

	// Rules are the switches of reading a request.
	Rules Rules
	// Suppressed says which clients may learn of suppressed resources; the zero value is
	// the strictest.
	Suppressed policy.SuppressedRules

	// PollLimit says what becomes of polls that come too early: PollEnforce.
	PollLimit PollLimit
	// PollInterval is the wait between polls (PO-10); zero or less adapts it to the time
	// that is left, between 1 s and 2 minutes (D8).
	PollInterval time.Duration
	// RequiresAccessToken is the member of the manifest (MA-03): true exactly when
	// the server asks for bearer tokens.
	RequiresAccessToken bool

	// Observer is told what happens, for numbers. Optional.
	Observer Observer

	// engine holds the times of the engine; tests shorten them.
	engine job.Config
}

// Observer counts what happens. Its methods are called by several goroutines at once.
type Observer interface {
	// PartWritten is called for each finished output file, with its resources, NDJSON bytes
	// and bytes on disk.
	PartWritten(resources, bytes, stored int64)
	// JobEnded is called when a live job becomes Complete, Failed or Cancelled.
	JobEnded(state store.State)
	// Removed is called for what the janitor and a DELETE take away: [RemovedExport] or
	// [RemovedFile].
	Removed(what string, n int)
}

// What Observer.Removed is told of.
const (
	RemovedExport = "export" // its time is over, or its client has deleted it
	RemovedFile   = "file"   // nothing names it
)

// nobody observes.
type nobody struct{}

func (nobody) PartWritten(_, _, _ int64) {}
func (nobody) JobEnded(store.State)      {}
func (nobody) Removed(string, int)       {}

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
	c.SweepEvery = cmp.Or(max(0, c.SweepEvery), DefaultSweepEvery)
	c.StrangerAge = cmp.Or(max(0, c.StrangerAge), store.StrangerAge)
	if c.Owned == nil {
		c.Owned = func(context.Context) error { return nil }
	}
	c.PollLimit = cmp.Or(c.PollLimit, PollEnforce)
	if c.Observer == nil {
		c.Observer = nobody{}
	}
	return c
}

// defaultZone is the zone of the national directory. Its data are embedded, so
// the fallback is never needed.
func defaultZone() *time.Location {
	zone, err := time.LoadLocation(DefaultZone)
	if err != nil {
		return time.UTC
	}
	return zone
}

// Service is the bulk export. Create it with [New]; its methods are safe for use
// by several goroutines. Who asks is the principal in the context (package auth):
// jobs and files of others are treated as unknown (PO-08, RE-10).
type Service struct {
	Config
	jobs   store.Jobs
	engine *job.Engine
}

// New creates the service. Jobs can be started, asked for and cancelled at once;
// the work is done by [Service.Run].
func New(c Config) *Service {
	c = c.withDefaults()
	s := &Service{Config: c, jobs: c.Store}
	engine := c.engine
	engine.Jobs, engine.Work, engine.Now, engine.Logger = c.Store, s.work, c.Now, c.Logger
	engine.Lease = cmp.Or(c.Lease, engine.Lease)
	engine.Workers, engine.StallAfter, engine.Retention = c.Workers, c.StallAfter, c.Retention
	engine.Failed = func(string) { c.Observer.JobEnded(store.Failed) }
	s.engine = job.New(engine)
	return s
}

// Run does the work of jobs and clears up behind them until ctx ends. Work in
// progress is given back, for the next Run to take up. It is called once.
func (s *Service) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.engine.Run(ctx) })
	g.Go(func() error { return s.clearUp(ctx) })
	return g.Wait()
}

// ErrAlreadyDeleted tells that the job to cancel is over and gone already.
var ErrAlreadyDeleted = errors.New("this export was deleted already, or its time is over")

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

// ParseRequest reads the body of a kick-off of the principal in ctx: see the function of
// the same name.
func (s *Service) ParseRequest(ctx context.Context, body []byte) (Request, error) {
	return ParseRequest(body, s.Compiler, s.Rules, s.maySee(auth.From(ctx)))
}

// maySee is what a client may learn of suppressed resources.
func (s *Service) maySee(p auth.Principal) policy.Suppressed {
	return s.Suppressed.For(p.Authenticated())
}

// KickOff stores a job for the request and returns its id, a random UUID
// (KO-51). It returns a [TooManyJobs] error when the principal has enough live
// jobs already.
func (s *Service) KickOff(ctx context.Context, r Request) (jobID string, err error) {
	id, err := uuid.NewRandom()
	if err != nil {
		return "", fmt.Errorf("starting an export: %w", err)
	}
	stored, err := r.encode()
	if err != nil {
		return "", fmt.Errorf("starting an export: %w", err)
	}
	job := store.Job{ID: id.String(), Owner: auth.From(ctx).ID, Request: stored, Created: s.now()}
	if err := s.jobs.CreateJob(ctx, job, s.JobsPerPrincipal); errors.Is(err, store.ErrTooManyJobs) {
		return "", TooManyJobs{RetryAfter: s.seconds(retryTooMany)}
	} else if err != nil {
		return "", fmt.Errorf("starting an export: %w", err)
	}
	if err := failpoint.Inject(ctx, "export.accepted"); err != nil {
		return "", err
	}
	s.engine.Wake()
	return job.ID, nil
}

// owned returns a job of the principal in ctx. Foreign jobs are
// [store.ErrNotFound]. A job whose retention is over is Expired, whether the
// janitor has been there or not.
func (s *Service) owned(ctx context.Context, id string) (store.Job, error) {
	job, err := s.jobs.Job(ctx, id)
	if err != nil {
		return store.Job{}, err
	}
	if job.Owner != auth.From(ctx).ID {
		return store.Job{}, store.ErrNotFound
	}
	if !job.State.Live() && s.now() >= job.Expires {
		job.State = store.Expired
	}
	return job, nil
}

// Cancel ends a job or gives back a finished one: its files are gone when Cancel
// returns, and its workers stop within a heartbeat (DE-01, DE-03, DE-05). A job
// that is unknown or of somebody else is [store.ErrNotFound], one that was
// deleted before, or is over, is [ErrAlreadyDeleted] (DE-04).
func (s *Service) Cancel(ctx context.Context, jobID string) error {
	job, err := s.owned(ctx, jobID)
	if err != nil {
		return err
	}
	if !job.State.CanBecome(store.Cancelled) {
		return ErrAlreadyDeleted
	}
	err = s.jobs.Cancel(ctx, job.ID, job.Owner, s.now(), s.expires())
	if errors.Is(err, store.ErrNotFound) {
		return ErrAlreadyDeleted // by another request, just now
	}
	if err != nil {
		return fmt.Errorf("cancelling job %s: %w", job.ID, err)
	}
	if job.State.Live() {
		s.Observer.JobEnded(store.Cancelled)
	} else {
		s.Observer.Removed(RemovedExport, 1)
	}
	// From here on the job is cancelled, whatever becomes of the client.
	if err := failpoint.Inject(ctx, "export.cancelled"); err != nil {
		return err
	}
	if err := s.removeFiles(context.WithoutCancel(ctx), job.ID); err != nil {
		s.Logger.Error("files of a cancelled job remain for the janitor", "job", job.ID, "error", err)
	}
	return nil
}

func (s *Service) now() fhir.Instant     { return fhir.InstantOf(s.Now()) }
func (s *Service) expires() fhir.Instant { return fhir.InstantOf(s.Now().Add(s.Retention)) }

// work does one claimed piece of work.
func (s *Service) work(ctx context.Context, c *job.Claim) error {
	if c.Task.Part == nil {
		return s.selectRows(ctx, c)
	}
	return s.writePart(ctx, c)
}
