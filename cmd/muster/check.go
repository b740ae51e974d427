package main

import (
	"encoding/json"
	"errors"
	"fmt"

	"muster/internal/blob"
	"muster/internal/check"
	"muster/internal/conformance"
	"muster/internal/damage"
	"muster/internal/humanize"
	"muster/internal/load"
	"muster/internal/search/index"
	"muster/internal/store"
	"muster/internal/store/sqlite"
)

// checkCmd is `muster check`.
type checkCmd struct {
	Data     string `placeholder:"DIR" help:"Data directory to verify. It may be served meanwhile; nothing is written."`
	Database string `placeholder:"URL" help:"Verify the directory in this PostgreSQL database; --data is then its files folder. Without --data export files are not verified."`
	Deep     bool   `help:"Also read every export file completely, and let the database verify every page."`
	JSON     bool   `name:"json" help:"Print each finding as a JSON object on one line, and the summary last."`
}

// Validate checks that a directory is named.
func (c checkCmd) Validate() error { return requireLocation(c.Data, c.Database) }

// Run prints the findings and a summary. The exit code is 1 if there are findings other
// than notes.
func (c checkCmd) Run(a app) (err error) {
	registry, err := conformance.Load()
	if err != nil {
		return err
	}
	seen, err := inspectDirectory(a.ctx, c.Data, c.Database, store.Identity{DefinitionsHash: registry.DefinitionsHash()})
	if _, damaged := damage.KindOf(err); damaged {
		return c.reportDamage(a, err)
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, seen.Close()) }()
	served, err := seen.Served(a.ctx)
	if err != nil {
		return err
	}
	var files blob.Store
	var owned check.Folder
	if c.Data != "" {
		folder := blob.ExistingFolder(filesFolder(c.Data))
		defer func() { err = errors.Join(err, folder.Close()) }()
		files = folder
		owned = check.Folder{Path: filesFolder(c.Data), MarkedOwner: folder.Owner, Owner: seen.FilesOwner, Adopt: adoptCommand(c.Data, c.Database)}
	}
	extractor, err := index.NewExtractor(registry, seen.Info().Addresses()...)
	if err != nil {
		return err
	}
	inherit, err := load.NewRules(registry, extractor)
	if err != nil {
		return err
	}
	progress := newProgress(a.stderr)
	summary, err := check.Run(a.ctx, check.Config{
		Store: seen, Blobs: files, Folder: owned, Registry: registry, Extractor: extractor, Rules: seen.Info().Rules,
		Inherit: inherit, Cascades: seen.Info().Cascades,
		Deep: c.Deep, Served: served, Report: c.printer(a), Progress: progress.count,
	})
	progress.end()
	if err != nil {
		return err
	}
	return c.end(a, summary)
}

// end prints the summary and returns an error if there are findings.
func (c checkCmd) end(a app, summary check.Summary) error {
	if err := c.printSummary(a, summary); err != nil {
		return err
	}
	if summary.Findings > 0 {
		return fmt.Errorf("findings: %d; each line above names the place, the problem and what to do", summary.Findings)
	}
	return nil
}

// reportDamage reports damage that keeps the directory from being opened. A deep check of a data
// directory also lists the damaged pages.
func (c checkCmd) reportDamage(a app, err error) error {
	var summary check.Summary
	report := func(place, problem, remedy string) {
		summary.Findings++
		c.printer(a)(check.Finding{Kind: "database", Place: place, Problem: problem, Remedy: remedy})
	}
	report("directory", "it cannot be opened, and nothing else was verified: "+withoutSecrets(onOneLine(err)), "")
	if c.Deep && c.Database == "" {
		err := sqlite.DamagedPages(c.Data, func(p store.IntegrityProblem) error {
			report(p.Place, p.Problem, p.Remedy)
			return nil
		})
		if err != nil {
			return err
		}
	}
	return c.end(a, summary)
}

// printer returns a function that prints findings.
func (c checkCmd) printer(a app) func(check.Finding) {
	lines := json.NewEncoder(a.stdout)
	lines.SetEscapeHTML(false)
	return func(f check.Finding) {
		if c.JSON {
			_ = lines.Encode(f) // an error of stdout shows when the summary is written
			return
		}
		kind := f.Kind
		if f.Note {
			kind = "note, " + kind
		}
		fmt.Fprintf(a.stdout, "%s: %s: %s", kind, f.Place, f.Problem)
		if f.Remedy != "" {
			fmt.Fprintf(a.stdout, " [%s]", f.Remedy)
		}
		fmt.Fprintln(a.stdout)
	}
}

// printSummary prints the summary.
func (c checkCmd) printSummary(a app, s check.Summary) error {
	if c.JSON {
		return json.NewEncoder(a.stdout).Encode(map[string]check.Summary{"summary": s})
	}
	out := humanize.NewPrinter()
	for _, line := range []struct {
		what string
		n    int64
	}{
		{"resources", s.Resources}, {"index entries", s.Entries}, {"old versions", s.OldVersions}, {"tombstones", s.Tombstones},
		{"jobs", s.Jobs}, {"parts", s.Parts}, {"files", s.Files}, {"findings", s.Findings}, {"notes", s.Notes},
	} {
		if _, err := out.Fprintf(a.stdout, "%-14s %12d\n", line.what, line.n); err != nil {
			return err
		}
	}
	return nil
}
