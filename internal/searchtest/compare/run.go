package compare

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"

	"muster/internal/search/query"
	"muster/internal/searchtest"
)

// perDirectory is how many queries are put to one directory, so that loading it
// takes little of the time.
const perDirectory = 500

// Found is the first difference of a run, with what is needed to see it again.
type Found struct {
	Difference Difference
	Lines      searchtest.Lines
	Seed       uint64
	Case       int // number of the query, from 1
}

// Run compares the answers to a number of queries that follow from the seed, and
// stops at the first difference. The mixture is what was asked. told is called after
// each directory with the number of queries so far; nil for nobody.
func (c Config) Run(ctx context.Context, seed uint64, cases int, told func(done int)) (searchtest.Mix, *Found, error) {
	var mix searchtest.Mix
	for done := 0; done < cases; {
		r := rand.New(rand.NewPCG(seed, uint64(done)))
		lines := searchtest.Generate(r, Base)
		found, err := c.directory(ctx, r, lines, min(perDirectory, cases-done), &mix)
		if found != nil {
			found.Seed, found.Lines, found.Case = seed, lines, mix.Queries
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

// directory puts queries to one directory.
func (c Config) directory(ctx context.Context, r *rand.Rand, lines searchtest.Lines, cases int, mix *searchtest.Mix) (_ *Found, err error) {
	t, err := c.Open(ctx, lines)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, t.Close()) }()
	for range cases {
		q := t.Directory.Query(r)
		answer, difference, err := t.Ask(ctx, q)
		mix.Add(q, answer, difference == nil && answer.IDs == nil && refused(t, q))
		if difference != nil {
			return &Found{Difference: *difference}, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", q, err)
		}
	}
	return nil, nil
}

func refused(t *Trial, q query.Query) bool {
	_, err := t.Directory.Find(q)
	return err != nil
}

// Shrink leaves out whatever the difference does not need: criteria, values,
// resources. It takes some seconds.
func (c Config) Shrink(ctx context.Context, f Found) (Found, error) {
	differs := func(lines searchtest.Lines, q query.Query) (*Difference, error) {
		t, err := c.Open(ctx, lines)
		if err != nil {
			return nil, err
		}
		_, d, err := t.Ask(ctx, q)
		return d, errors.Join(err, t.Close())
	}
	for _, q := range smaller(f.Difference.Query) {
		d, err := differs(f.Lines, q)
		if err != nil {
			return f, err
		}
		if d != nil {
			f.Difference = *d
			return c.Shrink(ctx, f)
		}
	}
	for size := 16; size > 0; size /= 4 {
		for n := range f.Lines {
			for from := 0; from < len(f.Lines[n]); {
				less := without(f.Lines, n, from, size)
				d, err := differs(less, f.Difference.Query)
				if err != nil {
					return f, err
				}
				if d == nil {
					from += size
					continue
				}
				f.Difference, f.Lines = *d, less
			}
		}
	}
	return f, nil
}

// smaller are the queries with one criterion or one value less.
func smaller(q query.Query) []query.Query {
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

func without(lines searchtest.Lines, n, from, size int) searchtest.Lines {
	less := append(searchtest.Lines{}, lines...)
	to := min(from+size, len(lines[n]))
	less[n] = append(append([]string{}, lines[n][:from]...), lines[n][to:]...)
	return less
}

// String tells the difference and the directory that it needs.
func (f Found) String() string {
	text := fmt.Sprintf("seed %d, case %d: %s\nin the directory", f.Seed, f.Case, f.Difference)
	for n, batch := range f.Lines {
		text += fmt.Sprintf("\n# load %d", n+1)
		for _, line := range batch {
			text += "\n" + line
		}
	}
	return text
}
