package compare

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"

	"muster/internal/search/query"
	"muster/internal/searchtest"
)

// queriesPerDirectory is the number of queries for each directory. It is large, so that
// loading takes a small part of the time.
const queriesPerDirectory = 500

// Failure is the first difference of a run, with all data needed to reproduce it.
type Failure struct {
	Difference Difference
	Batches    searchtest.Batches
	Seed       uint64
	Case       int // number of the query, from 1
}

// Run compares the answers to a number of queries that follow from the seed, and stops at
// the first difference. It calls progress, unless nil, after each directory with the
// number of queries so far.
func (c Config) Run(ctx context.Context, seed uint64, cases int, progress func(done int)) (searchtest.Coverage, *Failure, error) {
	var coverage searchtest.Coverage
	for done := 0; done < cases; {
		r := rand.New(rand.NewPCG(seed, uint64(done)))
		batches := searchtest.Generate(r, Base)
		failure, err := c.runDirectory(ctx, r, batches, min(queriesPerDirectory, cases-done), &coverage)
		if failure != nil {
			failure.Seed, failure.Batches, failure.Case = seed, batches, coverage.Queries
			return coverage, failure, err
		}
		if err != nil {
			return coverage, nil, fmt.Errorf("seed %d, case %d: %w", seed, coverage.Queries, err)
		}
		done = coverage.Queries
		if progress != nil {
			progress(done)
		}
	}
	return coverage, nil, nil
}

// runDirectory compares the answers to random queries of one directory.
func (c Config) runDirectory(ctx context.Context, r *rand.Rand, batches searchtest.Batches, cases int, coverage *searchtest.Coverage) (_ *Failure, err error) {
	t, err := c.Open(ctx, batches)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, t.Close()) }()
	for range cases {
		q := t.Directory.RandomQuery(r)
		answer, difference, err := t.Compare(ctx, q)
		coverage.Add(q, answer, difference == nil && answer.IDs == nil && isRefused(t, q))
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

// Shrink removes criteria, values and resources as long as the difference remains. It
// takes some seconds.
func (c Config) Shrink(ctx context.Context, f Failure) (Failure, error) {
	compare := func(batches searchtest.Batches, q query.Query) (*Difference, error) {
		t, err := c.Open(ctx, batches)
		if err != nil {
			return nil, err
		}
		_, d, err := t.Compare(ctx, q)
		return d, errors.Join(err, t.Close())
	}
	for _, q := range smallerQueries(f.Difference.Query) {
		d, err := compare(f.Batches, q)
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
				fewer := without(f.Batches, n, from, size)
				d, err := compare(fewer, f.Difference.Query)
				if err != nil {
					return f, err
				}
				if d == nil {
					from += size
					continue
				}
				f.Difference, f.Batches = *d, fewer
			}
		}
	}
	return f, nil
}

// smallerQueries returns the queries with one criterion or one value fewer.
func smallerQueries(q query.Query) []query.Query {
	var list []query.Query
	for n := range q.Params {
		if len(q.Params) > 1 {
			smaller := q
			smaller.Params = append(append([]query.Param{}, q.Params[:n]...), q.Params[n+1:]...)
			list = append(list, smaller)
		}
		for _, p := range fewerValues(q.Params[n]) {
			smaller := q
			smaller.Params = append([]query.Param{}, q.Params...)
			smaller.Params[n] = p
			list = append(list, smaller)
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
				smaller := p
				smaller.Values = append(append([]query.Value{}, p.Values[:n]...), p.Values[n+1:]...)
				list = append(list, smaller)
			}
		}
	case query.Chain:
		for _, next := range fewerValues(p.Next) {
			smaller := p
			smaller.Next = next
			list = append(list, smaller)
		}
	case query.Has:
		for _, next := range fewerValues(p.Next) {
			smaller := p
			smaller.Next = next
			list = append(list, smaller)
		}
	}
	return list
}

// without returns the batches without some lines of batch n.
func without(batches searchtest.Batches, n, from, size int) searchtest.Batches {
	fewer := append(searchtest.Batches{}, batches...)
	to := min(from+size, len(batches[n]))
	fewer[n] = append(append([]string{}, batches[n][:from]...), batches[n][to:]...)
	return fewer
}

// String describes the difference and lists the directory.
func (f Failure) String() string {
	text := fmt.Sprintf("seed %d, case %d: %s\nin the directory:", f.Seed, f.Case, f.Difference)
	for n, batch := range f.Batches {
		text += fmt.Sprintf("\n# load %d", n+1)
		for _, line := range batch {
			text += "\n" + line
		}
	}
	return text
}
