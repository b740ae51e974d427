package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"time"

	"muster/internal/policy"
	"muster/internal/store"
)

// Sizes and latency targets: design.md, section 4.
const (
	pageSize   = 30
	totalLimit = 1000
	targetP50  = time.Millisecond
	targetP99  = 10 * time.Millisecond
	warmUps    = 20 // unmeasured queries
)

// measurement holds the timings of one shape, sorted.
type measurement struct {
	shape       shape
	page, total []timing
}

// timing is the duration of one request.
type timing struct {
	request request
	took    time.Duration
}

// measure measures a shape with different values for each query.
func (e *env) measure(ctx context.Context, o options, s shape, from resources, r *rand.Rand) (*measurement, error) {
	d := &sampler{from: from, r: r, popular: s.popular, cache: map[string]ranking{}}
	m := &measurement{shape: s}
	for i := range warmUps + o.queries {
		q := s.newRequest(d)
		page, err := e.fastest(ctx, o, q, store.Search{Limit: pageSize})
		if err != nil {
			return nil, fmt.Errorf("page of %v: %w", q, err)
		}
		total, err := e.fastest(ctx, o, q, store.Search{Total: totalLimit})
		if err != nil {
			return nil, fmt.Errorf("total of %v: %w", q, err)
		}
		if i >= warmUps {
			m.page, m.total = append(m.page, timing{q, page}), append(m.total, timing{q, total})
		}
	}
	for _, list := range [][]timing{m.page, m.total} {
		slices.SortFunc(list, func(a, b timing) int { return cmp.Compare(a.took, b.took) })
	}
	return m, nil
}

// fastest runs a request as often as the options require, and returns the shortest time
// from the text to the rows.
func (e *env) fastest(ctx context.Context, o options, q request, s store.Search) (time.Duration, error) {
	shortest := time.Duration(0)
	for i := range max(o.best, 1) {
		start := time.Now()
		if err := e.run(ctx, q, s); err != nil {
			return 0, err
		}
		if took := time.Since(start); i == 0 || took < shortest {
			shortest = took
		}
	}
	return shortest, nil
}

// run compiles a request and searches the store.
func (e *env) run(ctx context.Context, q request, s store.Search) error {
	compiled, err := e.compiler.SearchURL(q.of, q.raw, policy.SearchRules{RequireSubstantive: true}, policy.FullAccess())
	if err != nil {
		return err
	}
	s.Plan, s.Order = compiled.Plan, compiled.Order
	_, err = e.searcher.Search(ctx, s)
	return err
}

// percentile returns the timing at a percentile of a sorted list, given as a fraction.
func percentile(list []timing, fraction float64) timing {
	return list[min(int(fraction*float64(len(list))), len(list)-1)]
}

// row returns the table row of the shape. Values that miss a target are bold.
func (m *measurement) row() string {
	line := "| " + m.shape.name
	for _, list := range [][]timing{m.page, m.total} {
		line += " | " + cell(percentile(list, 0.5).took, targetP50) + " | " + cell(percentile(list, 0.99).took, targetP99)
	}
	return line + " |"
}

func cell(took, target time.Duration) string {
	text := fmt.Sprintf("%.2f ms", float64(took)/float64(time.Millisecond))
	if took >= target {
		return "**" + text + "**"
	}
	return text
}

// printSlowest prints the request at the 99th percentile if it misses the target.
func (m *measurement) printSlowest(w io.Writer) {
	for _, c := range []struct {
		what string
		list []timing
	}{{"page", m.page}, {"total", m.total}} {
		if slow := percentile(c.list, 0.99); slow.took >= targetP99 {
			fmt.Fprintf(w, "  %s %v: %v\n", c.what, slow.took, slow.request)
		}
	}
}
