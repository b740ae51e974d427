package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"muster/internal/conformance"
	"muster/internal/export"
	"muster/internal/fhir"
	"muster/internal/humanize"
	"muster/internal/load"
	"muster/internal/policy"
	"muster/internal/search/index"
	"muster/internal/store"
)

// reindexCmd is `muster reindex`.
type reindexCmd struct {
	Data         string        `placeholder:"DIR" help:"Data directory whose search index to rebuild. It must not be served meanwhile."`
	Database     string        `placeholder:"URL" help:"PostgreSQL database whose search index to rebuild instead."`
	TrustPages   bool          `name:"trust-pages" help:"Read pages of the data directory that do not match their checksums, and write them with checksums if they are consistent. Use it only after another program, such as the shell of SQLite, has written to the database."`
	KeepRemovals time.Duration `placeholder:"DURATION" help:"Also forget removals that are older than this. An export with an earlier _since is then refused. Defaults to keeping them all."`
	BaseURL      string        `name:"base-url" placeholder:"URL" help:"Public base URL, for a directory that has none yet (muster rebase changes it). Searches then follow absolute references that begin with it."`
}

// Validate checks that a directory is named.
func (c reindexCmd) Validate() error {
	if err := bound("--keep-removals", c.KeepRemovals >= 0, "a duration such as 400d"); err != nil {
		return err
	}
	if c.TrustPages && c.Database != "" {
		return errors.New("--trust-pages is for data directories: PostgreSQL verifies the checksums of its pages itself")
	}
	return requireLocation(c.Data, c.Database)
}

// Run rebuilds the index entries of every stored resource. The next run resumes an
// interrupted one.
func (c reindexCmd) Run(a app) (err error) {
	if c.BaseURL != "" {
		if err := checkBaseURL(c.BaseURL); err != nil {
			return exitError{exitUsage, err}
		}
	}
	registry, err := conformance.Load()
	if err != nil {
		return err
	}
	directory, lock, err := a.openUnserved(c.Data, c.Database, store.Options{Expect: store.Identity{BaseURL: c.BaseURL}, TrustPages: c.TrustPages, Rules: load.RulesFor(registry)})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Close(), directory.Close()) }()
	if err := c.sweepRemovals(a, directory); err != nil {
		return err
	}
	if err := rebuildIndex(a, directory, registry, c.BaseURL); err != nil {
		return fmt.Errorf("%w: to resume it, run: %s", err, commandOn("reindex", c.Data, c.Database))
	}
	return nil
}

// sweepRemovals forgets old removals, if the command line says so.
func (c reindexCmd) sweepRemovals(a app, d directory) error {
	if c.KeepRemovals == 0 {
		return nil
	}
	swept, err := export.SweepRemovals(a.ctx, d, fhir.InstantOf(d.Now().Add(-c.KeepRemovals)))
	if err != nil {
		return err
	}
	humanize.NewPrinter().Fprintf(a.stdout, "%-10s %12d\n", "forgotten", swept)
	return nil
}

// rebuildIndex rebuilds the index entries of every stored resource and prints how many there
// are. If baseURL is not empty, it becomes the base URL of the directory first.
func rebuildIndex(a app, directory directory, registry *conformance.Registry, baseURL string) error {
	extractor, err := index.NewExtractor(registry, directory.Info().MovedTo(baseURL).Addresses()...)
	if err != nil {
		return err
	}
	extract, err := load.NewExtractFunc(extractor)
	if err != nil {
		return err
	}
	progress := newProgress(a.stderr)
	out := humanize.NewPrinter() // separates thousands
	start := time.Now()
	var indexed, cleaned int64
	err = directory.Reindex(a.ctx, store.Reindexing{
		Definitions: registry.DefinitionsHash(), Rules: policy.RulesVersion(), BaseURL: baseURL, Extract: extract,
		Progress: func(done, changed int64) {
			indexed, cleaned = done, changed
			progress.report(stageProgress{stage: "resources indexed", done: done, line: out.Sprintf("%d resources indexed", done)})
		},
		Cleaning: func(ctx context.Context) error { return endExports(ctx, a, directory) },
	})
	progress.end()
	if err != nil {
		return err
	}
	out.Fprintf(a.stdout, "%-10s %12d\n", "indexed", indexed)
	if cleaned > 0 {
		out.Fprintf(a.stdout, "%-10s %12d\n", "cleaned", cleaned)
	}
	out.Fprintf(a.stderr, "%d resources in %s\n", indexed, humanize.Duration(time.Since(start)))
	return nil
}

// endExports ends all exports, running and complete. Their files contain data that
// cleaning removes, so they must not be served any more (ST-03).
func endExports(ctx context.Context, a app, d directory) error {
	finished, err := d.Expire(ctx, fhir.Forever, 0)
	if err != nil {
		return err
	}
	running, err := d.Live(ctx)
	if err != nil {
		return err
	}
	now := d.Now()
	for _, job := range running {
		err := d.Fail(ctx, job.ID, "The export contained data that was removed from the directory. Start the export again.",
			fhir.InstantOf(now), fhir.InstantOf(now.Add(24*time.Hour)))
		if err != nil {
			return err
		}
	}
	if n := finished + len(running); n > 0 {
		fmt.Fprintf(a.stderr, "ended %d exports, whose files contain data that is removed now\n", n)
	}
	return nil
}
