package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"muster/internal/conformance"
	"muster/internal/fhir"
	"muster/internal/load"
	"muster/internal/policy"
	"muster/internal/search/index"
	"muster/internal/store"

	"golang.org/x/text/language"
	"golang.org/x/text/message"
)

// reindexCmd is `muster reindex`.
type reindexCmd struct {
	Data     string `placeholder:"DIR" help:"Data directory whose index to make anew. It must not be served meanwhile."`
	Database string `placeholder:"URL" help:"PostgreSQL database whose index to make anew instead."`
	BaseURL  string `name:"base-url" placeholder:"URL" help:"Public base URL, for a directory that has none yet: absolute references below it are then found."`
}

// Validate wants a place.
func (c reindexCmd) Validate() error { return wantPlace(c.Data, c.Database) }

// Run makes the index of every stored resource anew. Cut off, it goes on from there
// the next time.
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
	directory, lock, err := openUnserved(a.ctx, c.Data, c.Database, store.Options{Expect: store.CreateInfo{BaseURL: c.BaseURL}})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Close(), directory.Close()) }()
	if c.BaseURL != "" {
		if err := directory.AdoptBaseURL(a.ctx, c.BaseURL); err != nil {
			return err
		}
	}
	extractor, err := index.NewExtractor(registry, directory.Info().BaseURL)
	if err != nil {
		return err
	}
	remake, err := load.NewRemake(extractor)
	if err != nil {
		return err
	}
	progress := newProgress(a.stderr)
	out := message.NewPrinter(language.English) // separates thousands
	start := time.Now()
	var indexed, cleaned int64
	err = directory.Reindex(a.ctx, store.Reindexing{
		Definitions: registry.DefinitionsHash(), Rules: policy.RulesVersion(), Remake: remake,
		Progress: func(done, changed int64) {
			indexed, cleaned = done, changed
			progress.report(stageProgress{stage: "resources indexed", done: done, line: out.Sprintf("%d resources indexed", done)})
		},
		Cleaning: func(ctx context.Context) error { return endExports(ctx, a, directory) },
	})
	progress.end()
	if err != nil {
		return fmt.Errorf("%w; run the command again to resume it", err)
	}
	out.Fprintf(a.stdout, "%-10s %12d\n", "indexed", indexed)
	if cleaned > 0 {
		out.Fprintf(a.stdout, "%-10s %12d\n", "cleaned", cleaned)
	}
	out.Fprintf(a.stderr, "%d resources in %.1f s\n", indexed, time.Since(start).Seconds())
	return nil
}

// endExports ends all exports, running and finished: their files hold what the resources
// held before they were cleaned, and may not be given out any more (ST-03).
func endExports(ctx context.Context, a app, d directory) error {
	const always = fhir.Instant(math.MaxInt64)
	finished, err := d.Expire(ctx, always, 0)
	if err != nil {
		return err
	}
	running, err := d.Stalled(ctx, always)
	if err != nil {
		return err
	}
	now := d.Now()
	for _, job := range running {
		err := d.Fail(ctx, job.ID, "The directory was cleaned of data that it may not hold. Start the export again.",
			fhir.InstantOf(now), fhir.InstantOf(now.Add(24*time.Hour)))
		if err != nil {
			return err
		}
	}
	if n := finished + len(running); n > 0 {
		fmt.Fprintf(a.stderr, "exports ended, since their files hold what is taken out now: %d\n", n)
	}
	return nil
}
