package check

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"muster/internal/blob"
	"muster/internal/conformance"
	"muster/internal/fhir"
	"muster/internal/policy"
	"muster/internal/search/index"
	"muster/internal/store"

	"github.com/valyala/fastjson"
)

// Extractor finds what a resource can be found by; index.Extractor is one.
type Extractor interface {
	Extract(dst []index.Entry, t fhir.Type, v *fastjson.Value) []index.Entry
}

// Config is what a check needs. Store, Registry, Extractor and Found must be set; the
// other zero values stand for the defaults named here.
type Config struct {
	Store     store.Inspector
	Blobs     blob.Store            // nil: files are not looked at
	Registry  *conformance.Registry // names the parameters of entries
	Extractor Extractor             // by the base URL of the directory
	Folder    Folder                // whose Blobs are; the zero value: not looked at
	// Found takes each finding as it is made.
	Report func(Finding)

	// Rules are those by which the resources were cleaned before they were stored.
	Rules string

	Deep   bool // read all files, and let the database look at every page
	Served bool // a server runs on the directory: what it clears up must be clear

	Now func() time.Time // time.Now
	// Period is how long the janitor may take to clear something up: 2 minutes.
	Period time.Duration
	// StallAfter is how long a job may stand still while it is served: 11 minutes.
	StallAfter time.Duration
	// Progress is told what is being looked at: the stage and how many things of it
	// have been looked at. May be nil.
	Progress func(stage string, done int64)
}

// Folder tells whose the folder of the files is.
type Folder struct {
	Path string
	// Holder returns the id whose mark the folder carries, and Owner that of the directory;
	// "" stands for none.
	MarkedOwner, Owner func(ctx context.Context) (string, error)
	Adopt              string // the command that makes it the directory's
}

// Finding is one thing that is not as it should be.
type Finding struct {
	Note    bool   `json:"note,omitempty"` // nothing is wrong, but it is worth knowing
	Kind    string `json:"kind"`           // stable name, such as "index-missing"
	Place   string `json:"place"`          // such as "Practitioner/p1" or "job … part 3"
	Problem string `json:"problem"`
	Remedy  string `json:"remedy,omitempty"` // the way out
}

// Summary counts what was looked at.
type Summary struct {
	Resources   int64 `json:"resources"`
	Entries     int64 `json:"entries"`
	OldVersions int64 `json:"oldVersions"`
	Tombstones  int64 `json:"tombstones"`
	Jobs        int64 `json:"jobs"`
	Parts       int64 `json:"parts"`
	Files       int64 `json:"files"`
	Findings    int64 `json:"findings"`
	Notes       int64 `json:"notes"`
}

// Run checks everything and returns what was counted. Damage is no error: it is a
// finding, also where it keeps something from being read. An error is the end of
// ctx.
func Run(ctx context.Context, c Config) (Summary, error) {
	k := &checker{Config: c, jobs: map[string]jobFacts{}}
	if k.Now == nil {
		k.Now = time.Now
	}
	k.Period = cmp.Or(c.Period, 2*time.Minute)
	k.StallAfter = cmp.Or(c.StallAfter, 11*time.Minute)
	k.started = fhir.InstantOf(k.Now())
	if c.Rules != policy.RulesVersion() {
		k.note("rules", "directory", "it was written by a muster with other rules about what may be held, and is not served before it is reindexed", "run muster reindex")
	}
	// Jobs come first: what they need is looked for afterwards.
	for _, stage := range []struct {
		name string
		run  func(context.Context) error
	}{
		{"jobs", k.checkJobs},
		{"files", k.checkFiles},
		{"resources", k.checkResources},
		{"old versions", k.checkOldVersions},
		{"tombstones", k.checkTombstones},
		{"integrity", k.checkIntegrity},
	} {
		k.stage, k.done = stage.name, 0
		k.progress(0)
		err := stage.run(ctx)
		if ctx.Err() != nil {
			return k.Summary, context.Cause(ctx)
		}
		if err != nil {
			k.finding("unreadable", stage.name, "this could not be looked at to the end: "+err.Error(), remedyRestore)
		}
	}
	return k.Summary, nil
}

// Ways out that several findings share.
const (
	remedyRestore = "restore a backup, or load the data into a new directory"
	remedyReload  = "load this resource again with a change, or load the data into a new directory"
	remedyExport  = "cancel this export and start it again"
	remedyReindex = "muster reindex takes it out, in a new version"
	remedyServe   = "muster serve clears it up by itself"
)

// checker is one run.
type checker struct {
	Config
	Summary
	started fhir.Instant
	stage   string
	done    int64

	jobs map[string]jobFacts
}

// tick counts n more things of the stage.
func (k *checker) progress(n int64) {
	k.done += n
	if k.Progress != nil {
		k.Progress(k.stage, k.done)
	}
}

func (k *checker) finding(kind, place, problem, remedy string) {
	k.Findings++
	k.Report(Finding{Kind: kind, Place: place, Problem: problem, Remedy: remedy})
}

// leftover reports what the janitor clears up: a finding if it runs and has not,
// else a note.
func (k *checker) leftover(kind, place, problem string) {
	if k.Served {
		k.finding(kind, place, problem, "the janitor of the server should have cleared this up: look into its log")
		return
	}
	k.note(kind, place, problem, remedyServe)
}

func (k *checker) note(kind, place, problem, remedy string) {
	k.Notes++
	k.Report(Finding{Note: true, Kind: kind, Place: place, Problem: problem, Remedy: remedy})
}

// recent is the moment since when things may lie about.
func (k *checker) graceStart() fhir.Instant { return k.started - fhir.Instant(k.Period.Milliseconds()) }

func (k *checker) checkIntegrity(ctx context.Context) error {
	return k.Store.Integrity(ctx, k.Deep, func(c store.IntegrityProblem) error {
		if c.Skipped {
			k.note("not-looked-at", c.Place, c.Problem, c.Remedy)
			return nil
		}
		k.finding("database", c.Place, c.Problem, c.Remedy)
		return nil
	})
}

// plural writes a number with its noun.
func plural(n int64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
