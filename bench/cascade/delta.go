package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"muster/internal/fhir"
	"muster/internal/synth"
	"muster/internal/testkit"
)

// deltaTarget is the target of an export of 10,000 changes at scale 50.
const deltaTarget = 500 * time.Millisecond

// everything are filters that all resources match.
func everything() (filters []string) {
	for _, t := range fhir.Types() {
		filters = append(filters, t.String()+"?_lastUpdated=ge1900-01-01T00:00:00Z")
	}
	return filters
}

// delta measures an export of changes by _since, against an export of everything, and what the guide's
// first example costs with its membership, against the same export without.
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
	server, m, stop, err := b.serve()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()

	full, all, since, err := exportOnce(ctx, m, server, "", everything())
	if err != nil {
		return err
	}
	_, members, known, err := exportOnce(ctx, m, server, "", synth.ExampleOne, trackMembership)
	if err != nil {
		return err
	}
	var deltas, plain, tracked []cost
	for n := range b.rounds {
		if _, err := b.fresh(ctx, m, func(into directory) error { return b.apply(ctx, into, changed(lines, n)...) }); err != nil {
			return err
		}
		c, count, until, err := exportOnce(ctx, m, server, since, everything())
		if err != nil {
			return err
		}
		if count != len(lines) {
			return fmt.Errorf("the delta has %d resources, want %d", count, len(lines))
		}
		deltas, since = append(deltas, c), until
		if c, _, _, err = exportOnce(ctx, m, server, known, synth.ExampleOne); err != nil {
			return err
		}
		plain = append(plain, c)
		if c, _, known, err = exportOnce(ctx, m, server, known, synth.ExampleOne, trackMembership); err != nil {
			return err
		}
		tracked = append(tracked, c)
	}
	bytes, err := membershipBytes(ctx, server)
	if err != nil {
		return err
	}
	delta := medians(deltas)
	share := cost{full.wall * time.Duration(len(lines)) / time.Duration(all), full.cpu * time.Duration(len(lines)) / time.Duration(all)}
	fmt.Printf("| export of all %d resources of scale %s, %s | %v; for %d resources %v: the limit | |\n", all, scale, b.database(), full, len(lines), share)
	fmt.Printf("| delta of %d changes | %v | ratio %s; target %v |\n", len(lines), delta, ratio(delta, share), deltaTarget)
	fmt.Printf("| delta of the guide's first example, %d members | %v: the limit | |\n", members, medians(plain))
	fmt.Printf("| the same with its membership | %v | ratio %s; %d bytes each |\n", medians(tracked), ratio(medians(tracked), medians(plain)), bytes/(b.rounds+1))
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

// trackMembership is the preference of an export that tracks the membership of its filters.
const trackMembership = "track-membership"

// exportOnce exports what filters find, from kick-off to manifest. It returns the number of resources
// and the transaction time.
func exportOnce(ctx context.Context, m *meter, server *testkit.Server, since string, filters []string, preferences ...string) (c cost, count int, at string, err error) {
	c, err = m.measure(ctx, func() error {
		status, err := server.KickOff(testkit.Parameters(since, filters...), preferences...)
		if err != nil {
			return err
		}
		manifest, err := server.Wait(ctx, status)
		if err == nil && manifest.Extension.Membership == "unknown" {
			err = errors.New("the server does not know what the client holds")
		}
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

// membershipBytes returns the size of all memberships that the server keeps.
func membershipBytes(ctx context.Context, server *testkit.Server) (int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(server.Base, "/fhir")+"/metrics", nil)
	if err != nil {
		return 0, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		if value, ok := strings.CutPrefix(lines.Text(), "muster_membership_bytes "); ok {
			return strconv.Atoi(value)
		}
	}
	return 0, errors.New("the metrics have no muster_membership_bytes")
}
