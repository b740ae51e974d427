package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"muster/internal/load"
	"muster/internal/policy"
	"muster/internal/search/index"
	"muster/internal/store"
	"muster/internal/store/postgres"
	"muster/internal/store/sqlite"
	"muster/internal/testkit/stores"
)

// directory is an open directory.
type directory interface {
	load.Directory
	Info() store.Identity
	Close() error
}

// open opens the directory of the environment, and creates it if it does not exist. A directory
// that is created without cascades has the states that its sources say, as a mirror has.
func (b *bench) open(ctx context.Context, cascades bool) (directory, error) {
	o := store.Options{Create: &store.Identity{
		BaseURL: "http://" + b.env.Address[0] + "/fhir", Mode: "authoritative", DefinitionsHash: b.registry.DefinitionsHash(), Rules: policy.RulesVersion(),
	}}
	if cascades {
		o.Rules = load.RulesFor(b.registry)
	}
	if b.url != "" {
		return postgres.Open(ctx, b.env.Database, o)
	}
	return sqlite.Open(ctx, b.env.Data, o)
}

// empty removes the directory of the environment, which no process may use.
func (b *bench) empty(ctx context.Context) error {
	if b.url != "" {
		return stores.Empty(ctx, b.env.Database)
	}
	return os.RemoveAll(b.env.Data)
}

// fresh opens the directory with cascades, as a new process does, and measures what f does with it.
func (b *bench) fresh(ctx context.Context, m *meter, f func(into directory) error) (c cost, err error) {
	into, err := b.open(ctx, true)
	if err != nil {
		return cost{}, err
	}
	defer func() { err = errors.Join(err, into.Close()) }()
	return m.measure(ctx, func() error { return f(into) })
}

// apply loads lines as muster load does. All of them must be written.
func (b *bench) apply(ctx context.Context, into directory, list ...string) error {
	summary, err := b.loadInto(ctx, into, []load.Input{load.FromReader("lines", strings.NewReader(strings.Join(list, "")))})
	if written := summary.Created + summary.Updated; err == nil && written != int64(len(list)) {
		err = fmt.Errorf("%d resources were written, want %d", written, len(list))
	}
	return err
}

// loadInto loads inputs, of which nothing may be refused.
func (b *bench) loadInto(ctx context.Context, into directory, inputs []load.Input) (load.Summary, error) {
	extractor, err := index.NewExtractor(b.registry, into.Info().Addresses()...)
	if err != nil {
		return load.Summary{}, err
	}
	summary, err := load.Run(ctx, load.Config{Directory: into, Extractor: extractor}, inputs)
	if err == nil && summary.RefusedTotal() > 0 {
		err = fmt.Errorf("%d resources are refused", summary.RefusedTotal())
	}
	return summary, err
}

// load measures a load of a synthetic directory with cascades, and the same without, each into an
// empty directory, in turn.
func (b *bench) load(ctx context.Context) error {
	scale := b.scale
	if scale == "" {
		scale = "10"
	}
	source, err := b.generate(scale)
	if err != nil {
		return err
	}
	var read int64
	costs := map[bool][]cost{}
	for range b.rounds {
		for _, cascades := range []bool{false, true} {
			c, n, err := b.loadOnce(ctx, source, cascades)
			if err != nil {
				return err
			}
			costs[cascades], read = append(costs[cascades], c), n
		}
	}
	with, without := medians(costs[true]), medians(costs[false])
	fmt.Printf("| load of scale %s, %d resources, %s | without cascades %v | with cascades %v | ratio %s |\n",
		scale, read, b.database(), without, with, ratio(with, without))
	return nil
}

// loadOnce loads the source into an empty directory.
func (b *bench) loadOnce(ctx context.Context, source string, cascades bool) (c cost, read int64, err error) {
	if err := b.empty(ctx); err != nil {
		return cost{}, 0, err
	}
	into, err := b.open(ctx, cascades)
	if err != nil {
		return cost{}, 0, err
	}
	defer func() { err = errors.Join(err, into.Close()) }()
	m, err := b.newMeter()
	if err != nil {
		return cost{}, 0, err
	}
	defer func() { err = errors.Join(err, m.close()) }()
	inputs, _, err := load.Inputs([]string{source}, nil)
	if err != nil {
		return cost{}, 0, err
	}
	c, err = m.measure(ctx, func() error {
		summary, err := b.loadInto(ctx, into, inputs)
		read = summary.Read
		return err
	})
	return c, read, err
}
