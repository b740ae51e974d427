package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"muster/internal/fhir"
	"muster/internal/load"
	"muster/internal/report"
	"muster/internal/search/index"
	"muster/internal/store"
)

// reportCmd is `muster report`.
type reportCmd struct {
	Paths    []string      `arg:"" optional:"" name:"path" help:"Files to report on, in each format that muster load reads, or folders that hold them; - for standard input."`
	Data     string        `placeholder:"DIR" help:"Data directory to report on instead of PATHs. It may be served meanwhile."`
	Database string        `placeholder:"URL" help:"PostgreSQL database to report on instead."`
	Since    *fhir.Instant `placeholder:"INSTANT" help:"Also count what has changed in the directory since this time, such as 2026-11-01T00:00:00+11:00, by type and day."`
	Zone     timeZone      `default:"${zone}" help:"Time zone of the days (${default})."`
	HTML     string        `name:"html" help:"Also write the report as one self-contained HTML page." placeholder:"FILE"`
	Title    string        `help:"Title of the HTML page (${default})." placeholder:"TEXT" default:"A provider directory in pictures"`
	JSON     bool          `name:"json" help:"Print JSON instead of text."`
}

// Validate checks that there is one source: paths or a directory.
func (c reportCmd) Validate() error {
	if (c.Data == "" && c.Database == "") == (len(c.Paths) == 0) {
		return errors.New("name either paths, or a directory with --data or --database")
	}
	if c.Since != nil && len(c.Paths) > 0 {
		return errors.New("--since needs a directory, which logs its changes: name it with --data or --database")
	}
	return checkDatabase(c.Database)
}

// Run reads the records once and prints the report.
func (c reportCmd) Run(a app) error {
	r, err := c.collect(a)
	if err != nil {
		return err
	}
	if c.HTML != "" {
		if err := writePage(r, c.HTML, c.Title); err != nil {
			return fmt.Errorf("write the report to %s: %w", c.HTML, err)
		}
	}
	if c.JSON {
		lines := json.NewEncoder(a.stdout)
		lines.SetIndent("", "  ")
		return lines.Encode(r)
	}
	return r.Text(a.stdout)
}

func writePage(r *report.Report, name, title string) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	return errors.Join(r.HTML(f, title), f.Close())
}

func (c reportCmd) collect(a app) (_ *report.Report, err error) {
	if len(c.Paths) > 0 {
		return c.collectFiles(a)
	}
	directory, err := a.openDirectory(c.Data, c.Database, store.Options{})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, directory.Close()) }()
	r, err := report.Collect(a.ctx, current(a.ctx, directory))
	if err != nil || c.Since == nil {
		return r, err
	}
	r.Changes, err = c.changes(a.ctx, directory)
	return r, err
}

// changes counts what has changed in a directory.
func (c reportCmd) changes(ctx context.Context, directory store.ChangeLog) (*report.Changes, error) {
	since := *c.Since
	start, err := directory.LogStart(ctx)
	if err != nil {
		return nil, err
	}
	changes := report.NewChanges(max(since, start).Time(), since >= start, c.Zone.Location, store.WhatNames)
	err = directory.EachChange(ctx, since, func(e store.Logged) error {
		changes.Add(e.Committed.Time(), e.Key.Type().String(), uint(e.What))
		return nil
	})
	changes.Finish()
	return changes, err
}

// collectFiles reads files as a load does, and names those that are not read.
func (c reportCmd) collectFiles(a app) (*report.Report, error) {
	inputs, skipped, err := load.Inputs(c.Paths, &contextReader{ctx: a.ctx, from: a.stdin})
	if err != nil {
		return nil, err
	}
	printSkipped(a.stderr, skipped)
	var unreadable int64
	r, err := report.Collect(a.ctx, fromCallback(func(yield func(report.Record) error) (err error) {
		unreadable, err = load.Resources(a.ctx, inputs, func(text []byte) error { return yield(report.Record{JSON: text}) })
		return err
	}))
	if err != nil {
		return nil, err
	}
	r.Unreadable += int(unreadable)
	return r, nil
}

// fromCallback returns the source of a function that passes records to yield until it returns
// an error.
func fromCallback(read func(yield func(report.Record) error) error) report.Source {
	return func(yield func(report.Record, error) bool) {
		errStop := errors.New("the consumer has stopped")
		err := read(func(r report.Record) error {
			if !yield(r, nil) {
				return errStop
			}
			return nil
		})
		if err != nil && !errors.Is(err, errStop) {
			yield(report.Record{}, err)
		}
	}
}

// stateOf returns the state of a resource for a report.
func stateOf(held store.Held) report.State {
	return report.State{
		Known: true, Suppressed: held.Own&index.Suppressed != 0, Inactive: held.Own&index.Inactive != 0,
		InheritsSuppression: held.Inherited&index.Suppressed != 0, InheritsInactive: held.Inherited&index.Inactive != 0,
	}
}

// current returns all current resources of a directory, in load order.
func current(ctx context.Context, directory store.Directory) report.Source {
	return fromCallback(func(yield func(report.Record) error) error {
		for _, t := range fhir.Types() {
			err := directory.EachCurrent(ctx, t, func(held store.Held) error {
				return yield(report.Record{Type: t.String(), State: stateOf(held), JSON: held.Line})
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
}
