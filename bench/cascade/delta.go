package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"muster/internal/fhir"
	"muster/internal/testkit"
)

// deltaTarget is the target of an export of 10,000 changes at scale 50.
const deltaTarget = 500 * time.Millisecond

// delta measures an export of changes by _since, against an export of everything.
func (b *bench) delta(ctx context.Context) (err error) {
	scale := b.scale
	if scale == "" {
		scale = "50"
	}
	source, err := b.generate(scale)
	if err != nil {
		return err
	}
	lines, err := b.spread(source)
	if err != nil {
		return err
	}
	if err := b.env.LoadFiles(source); err != nil {
		return err
	}
	server, err := b.env.Serve("--jobs", "0")
	if err != nil {
		return err
	}
	defer server.Kill()
	m, err := b.newMeter(server.PID())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.close()) }()

	full, all, since, err := exportOnce(ctx, m, server, "")
	if err != nil {
		return err
	}
	var deltas []cost
	for n := range b.rounds {
		if err := b.apply(ctx, changed(lines, n)...); err != nil {
			return err
		}
		c, count, until, err := exportOnce(ctx, m, server, since)
		if err != nil {
			return err
		}
		if count != len(lines) {
			return fmt.Errorf("the delta has %d resources, want %d", count, len(lines))
		}
		deltas, since = append(deltas, c), until
	}
	delta := medians(deltas)
	share := cost{full.wall * time.Duration(len(lines)) / time.Duration(all), full.cpu * time.Duration(len(lines)) / time.Duration(all)}
	fmt.Printf("| export of all %d resources of scale %s, %s | %v; for %d resources %v: the limit | |\n", all, scale, b.database(), full, len(lines), share)
	fmt.Printf("| delta of %d changes | %v | ratio %s; target %v |\n", len(lines), delta, ratio(delta, share), deltaTarget)
	return nil
}

// spread returns as many lines of the source as are to change, of all types.
func (b *bench) spread(source string) (list []string, err error) {
	var all []string
	for _, t := range fhir.Types() {
		of, err := readLines(filepath.Join(source, t.String()+".ndjson"))
		if err != nil {
			return nil, err
		}
		all = append(all, of...)
	}
	if len(all) < b.changes {
		return nil, fmt.Errorf("the directory has only %d resources, want %d", len(all), b.changes)
	}
	for n := range b.changes {
		list = append(list, all[n*len(all)/b.changes])
	}
	return list, nil
}

// exportOnce exports all types, from kick-off to manifest. It returns the number of resources and
// the transaction time.
func exportOnce(ctx context.Context, m *meter, server *testkit.Server, since string) (c cost, count int, at string, err error) {
	var filters []string
	for _, t := range fhir.Types() {
		filters = append(filters, t.String()+"?_lastUpdated=ge1900-01-01T00:00:00Z")
	}
	c, err = m.measure(ctx, func() error {
		status, err := server.KickOff(testkit.Parameters(since, filters...))
		if err != nil {
			return err
		}
		manifest, err := server.Wait(ctx, status)
		for _, o := range manifest.Output {
			if _, ok := fhir.ParseType(o.Type); ok { // not the List of what is suppressed
				count += o.Count
			}
		}
		at = manifest.TransactionTime
		return err
	})
	return c, count, at, err
}
