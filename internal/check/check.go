package check

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"muster/internal/blob"
	"muster/internal/conformance"
	"muster/internal/fhir"
	"muster/internal/policy"
	"muster/internal/regularfile"
	"muster/internal/search/index"
	"muster/internal/store"
)

// Config configures [Run]. Store, Registry, Extractor and Report are required.
type Config struct {
	Store     store.Inspector
	Blobs     blob.Store            // nil: files are not checked
	Registry  *conformance.Registry // names the parameters of entries
	Extractor *index.Extractor      // for the base URL of the directory
	Folder    Folder                // of Blobs; the owner of a zero Folder is not checked
	// Report is called with each finding as it is made.
	Report func(Finding)

	// Rules is the version of the rules by which the stored resources were cleaned.
	Rules string

	// Inherit are the rules by which resources inherit states; nil if they inherit none.
	Inherit store.Rules
	// Cascades says that every resource was written with what it inherits.
	Cascades bool

	Deep   bool // read all files, and let the database check every page
	Served bool // a server runs on the directory and removes leftovers

	// Now is the clock. Defaults to time.Now.
	Now func() time.Time
	// Period is how long the janitor may take to remove a leftover. Defaults to 2 minutes.
	Period time.Duration
	// StallAfter is how long a job may be without progress while the directory is served.
	// Defaults to 11 minutes.
	StallAfter time.Duration
	// Progress is called with the current stage and the number of things that the stage has
	// checked. Optional.
	Progress func(stage string, done int64)
}

// Folder describes the folder of the export files and its owner.
type Folder struct {
	Path string
	// MarkedOwner returns the id of the owner that the folder is marked with. It returns ""
	// if there is no mark.
	MarkedOwner func(ctx context.Context) (string, error)
	// Owner returns the id of the directory as an owner of folders. It returns "" if the
	// directory has no id yet.
	Owner func(ctx context.Context) (string, error)
	Adopt string // command that makes the directory the owner of the folder
}

// Finding is a problem of the directory, or a note.
type Finding struct {
	Note    bool   `json:"note,omitempty"` // not a problem, but worth knowing
	Kind    string `json:"kind"`           // stable name, such as "index-missing"
	Place   string `json:"place"`          // such as "Practitioner/p1" or "job … part 3"
	Problem string `json:"problem"`
	Remedy  string `json:"remedy,omitempty"` // what to do about it
}

// Summary counts what was checked.
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

// Run checks everything and returns the counts. Damage is a finding, not an error, even
// if it prevents reading. Run returns an error only when ctx ends.
func Run(ctx context.Context, c Config) (Summary, error) {
	k := &checker{Config: c, jobs: map[string]jobFacts{}}
	if k.Now == nil {
		k.Now = time.Now
	}
	k.Period = cmp.Or(c.Period, 2*time.Minute)
	k.StallAfter = cmp.Or(c.StallAfter, 11*time.Minute)
	k.started = fhir.InstantOf(k.Now())
	if c.Rules != policy.RulesVersion() {
		k.note("rules", "directory", "it was written with other rules about its content, and cannot be served until it is reindexed", "run muster reindex")
	}
	if k.Inherit != nil && !k.Cascades {
		k.note("cascades", "directory", "it was written without what resources inherit from suppressed or inactive ones, and cannot be served until it is reindexed", "run muster reindex")
		k.Inherit = nil
	}
	// Jobs come before resources, because later stages verify what they need.
	for _, stage := range []struct {
		name string
		run  func(context.Context) error
	}{
		{"write gate", k.checkGate},
		{"jobs", k.checkJobs},
		{"files", k.checkFiles},
		{"resources", k.checkResources},
		{"old versions", k.checkOldVersions},
		{"tombstones", k.checkTombstones},
		{"integrity", k.checkIntegrity},
	} {
		k.stage, k.done = stage.name, 0
		k.advance(0)
		err := stage.run(ctx)
		if ctx.Err() != nil {
			return k.Summary, context.Cause(ctx)
		}
		if err != nil {
			problem, remedy := explain(err)
			k.finding("unreadable", stage.name, "this check could not complete: "+problem, remedy)
		}
	}
	return k.Summary, nil
}

// explain returns the problem and the remedy of a check that could not complete.
func explain(err error) (problem, remedy string) {
	var other *regularfile.Error
	if errors.As(err, &other) {
		return other.Problem(), regularfile.Remedy
	}
	return err.Error(), remedyRestore
}

// Remedies that several findings share.
const (
	remedyRestore          = "restore a backup, or load the data into a new directory"
	remedyReload           = "load this resource again with a change, or load the data into a new directory"
	remedyExport           = "cancel this export and start it again"
	remedyReindex          = "run muster reindex, which removes it in a new version"
	remedyReindexInherited = "run muster reindex, which writes it again"
	remedyServe            = "none is needed: muster serve removes it"
)

// checker runs the checks of one call of Run.
type checker struct {
	Config
	Summary
	started fhir.Instant
	stage   string
	done    int64

	jobs map[string]jobFacts
}

// advance counts n more things of the stage.
func (k *checker) advance(n int64) {
	k.done += n
	if k.Progress != nil {
		k.Progress(k.stage, k.done)
	}
}

func (k *checker) finding(kind, place, problem, remedy string) {
	k.Findings++
	k.Report(Finding{Kind: kind, Place: place, Problem: problem, Remedy: remedy})
}

// leftover reports what the janitor should remove: as a finding while a server runs, and
// otherwise as a note.
func (k *checker) leftover(kind, place, problem string) {
	if k.Served {
		k.finding(kind, place, problem, "the janitor of the server should have removed this: see the log of the server")
		return
	}
	k.note(kind, place, problem, remedyServe)
}

func (k *checker) note(kind, place, problem, remedy string) {
	k.Notes++
	k.Report(Finding{Note: true, Kind: kind, Place: place, Problem: problem, Remedy: remedy})
}

// graceStart is the time before which leftovers should have been removed.
func (k *checker) graceStart() fhir.Instant { return k.started - fhir.Instant(k.Period.Milliseconds()) }

// checkGate reports a process that others wait for.
func (k *checker) checkGate(ctx context.Context) error {
	stall, stalled, err := k.Store.StalledGate(ctx)
	if err == nil && stalled {
		problem, remedy, _ := strings.Cut(stall.Text(), ": ")
		k.finding("gate-stalled", "write gate", problem, remedy)
	}
	return err
}

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

// plural formats a number with its noun.
func plural(n int64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
