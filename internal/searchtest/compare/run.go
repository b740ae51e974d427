package compare

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"

	"muster/internal/search/query"
	"muster/internal/searchtest"
)

// queriesPerDirectory is how many queries are put to one directory, so that loading it
// takes little of the time.
const queriesPerDirectory = 500

// Failure is the first difference of a run, with what is needed to see it again.
type Failure struct {
	Difference Difference
	Batches    searchtest.Batches
	Seed       uint64
	Case       int // number of the query, from 1
}

// Run compares the answers to a number of queries that follow from the seed, and
// stops at the first difference. The mixture is what was asked. told is called after
// each directory with the number of queries so far; nil for nobody.
func (c Config) Run(ctx context.Context, seed uint64, cases int, told func(done int)) (searchtest.Coverage, *Failure, error) {
	var mix searchtest.Coverage
	for done := 0; done < cases; {
		r := rand.New(rand.NewPCG(seed, uint64(done)))
		lines := searchtest.Generate(r, Base)
		found, err := c.runDirectory(ctx, r, lines, min(queriesPerDirectory, cases-done), &mix)
		if found != nil {
			found.Seed, found.Batches, found.Case = seed, lines, mix.Queries
			return mix, found, err
		}
		if err != nil {
			return mix, nil, fmt.Errorf("seed %d, case %d: %w", seed, mix.Queries, err)
		}
		done = mix.Queries
		if told != nil {
			told(done)
		}
	}
	return mix, nil, nil
}

// runDirectory puts queries to one directory.
func (c Config) runDirectory(ctx context.Context, r *rand.Rand, lines searchtest.Batches, cases int, mix *searchtest.Coverage) (_ *Failure, err error) {
	t, err := c.Open(ctx, lines)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, t.Close()) }()
	for range cases {
		q := t.Directory.RandomQuery(r)
		answer, difference, err := t.Compare(ctx, q)
		mix.Add(q, answer, difference == nil && answer.IDs == nil && isRefused(t, q))
		if difference != nil {
			return &Failure{Difference: *difference}, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", q, err)
		}
	}
	return nil, nil
}

func isRefused(t *Trial, q query.Query) bool {
	_, err := t.Directory.Find(q)
	return err != nil
}

// Shrink leaves out whatever the difference does not need: criteria, values,
// resources. It takes some seconds.
func (c Config) Shrink(ctx context.Context, f Failure) (Failure, error) {
	differs := func(lines searchtest.Batches, q query.Query) (*Difference, error) {
		t, err := c.Open(ctx, lines)
		if err != nil {
			return nil, err
		}
		_, d, err := t.Compare(ctx, q)
		return d, errors.Join(err, t.Close())
	}
	for _, q := range smallerQueries(f.Difference.Query) {
		d, err := differs(f.Batches, q)
		if err != nil {
			return f, err
		}
		if d != nil {
			f.Difference = *d
			return c.Shrink(ctx, f)
		}
	}
	for size := 16; size > 0; size /= 4 {
		for n := range f.Batches {
			for from := 0; from < len(f.Batches[n]); {
				less := without(f.Batches, n, from, size)
				d, err := differs(less, f.Difference.Query)
				if err != nil {
					return f, err
				}
				if d == nil {
					from += size
					continue
				}
				f.Difference, f.Batches = *d, less
			}
		}
	}
	return f, nil
}

// smallerQueries are the queries with one criterion or one value less.
func smallerQueries(q query.Query) []query.Query {
	var list []query.Query
	for n := range q.Params {
		if len(q.Params) > 1 {
			less := q
			less.Params = append(append([]query.Param{}, q.Params[:n]...), q.Params[n+1:]...)
			list = append(list, less)
		}
		for _, p := range fewerValues(q.Params[n]) {
			less := q
			less.Params = append([]query.Param{}, q.Params...)
			less.Params[n] = p
			list = append(list, less)
		}
	}
	return list
}

func fewerValues(p query.Param) []query.Param {
	var list []query.Param
	switch p := p.(type) {
	case query.Criterion:
		for n := range p.Values {
			if len(p.Values) > 1 {
				less := p
				less.Values = append(append([]query.Value{}, p.Values[:n]...), p.Values[n+1:]...)
				list = append(list, less)
			}
		}
	case query.Chain:
		for _, next := range fewerValues(p.Next) {
			less := p
			less.Next = next
			list = append(list, less)
		}
	case query.Has:
		for _, next := range fewerValues(p.Next) {
			less := p
			less.Next = next
			list = append(list, less)
		}
	}
	return list
}

func without(lines searchtest.Batches, n, from, size int) searchtest.Batches {
	less := append(searchtest.Batches{}, lines...)
	to := min(from+size, len(lines[n]))
	less[n] = append(append([]string{}, lines[n][:from]...), lines[n][to:]...)
	return less
}

// String tells the difference and the directory that it needs.
func (f Failure) String() string {
	text := fmt.Sprintf("seed %d, case %d: %s\nin the directory", f.Seed, f.Case, f.Difference)
	for n, batch := range f.Batches {
		text += fmt.Sprintf("\n# load %d", n+1)
		for _, line := range batch {
			text += "\n" + line
		}
	}
	return text
}
