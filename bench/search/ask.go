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

// What a client wants: design.md, section 4.
const (
	pageSize   = 30
	countedTo  = 1000
	targetP50  = time.Millisecond
	targetP99  = 10 * time.Millisecond
	warmingUps = 20 // questions that are not measured
)

// measured is what came of one shape.
type measured struct {
	shape       shape
	page, total []answer
}

// answer is how long one question took.
type answer struct {
	question question
	took     time.Duration
}

// measure asks a shape, each time with values of its own.
func (g *ground) measure(ctx context.Context, o options, s shape, from resources, r *rand.Rand) (*measured, error) {
	d := &drawer{from: from, r: r, popular: s.popular, cache: map[string]popularity{}}
	m := &measured{shape: s}
	for i := range warmingUps + o.asks {
		q := s.ask(d)
		page, err := g.best(ctx, o, q, store.Search{Limit: pageSize})
		if err != nil {
			return nil, fmt.Errorf("page of %v: %w", q, err)
		}
		total, err := g.best(ctx, o, q, store.Search{Total: countedTo})
		if err != nil {
			return nil, fmt.Errorf("total of %v: %w", q, err)
		}
		if i >= warmingUps {
			m.page, m.total = append(m.page, answer{q, page}), append(m.total, answer{q, total})
		}
	}
	for _, list := range [][]answer{m.page, m.total} {
		slices.SortFunc(list, func(a, b answer) int { return cmp.Compare(a.took, b.took) })
	}
	return m, nil
}

// best asks a question as often as the options say, and returns the shortest time from
// the text to the rows.
func (g *ground) best(ctx context.Context, o options, q question, s store.Search) (time.Duration, error) {
	least := time.Duration(0)
	for i := range max(o.best, 1) {
		start := time.Now()
		if err := g.ask(ctx, q, s); err != nil {
			return 0, err
		}
		if took := time.Since(start); i == 0 || took < least {
			least = took
		}
	}
	return least, nil
}

// ask compiles a question and asks the store.
func (g *ground) ask(ctx context.Context, q question, s store.Search) error {
	asked, err := g.compiler.SearchURL(q.of, q.raw, policy.SearchRules{RequireSubstantive: true}, policy.SuppressedOffered)
	if err != nil {
		return err
	}
	s.Plan, s.Order = asked.Plan, asked.Order
	_, err = g.searcher.Search(ctx, s)
	return err
}

// at is the answer that a share of a sorted list is not slower than.
func at(list []answer, share float64) answer {
	return list[min(int(share*float64(len(list))), len(list)-1)]
}

// row is the line of the shape in the table; what misses a target is bold.
func (m *measured) row() string {
	line := "| " + m.shape.name
	for _, list := range [][]answer{m.page, m.total} {
		line += " | " + cell(at(list, 0.5).took, targetP50) + " | " + cell(at(list, 0.99).took, targetP99)
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

// tellSlowest names the question at the 99th percentile where that misses.
func (m *measured) tellSlowest(w io.Writer) {
	for _, c := range []struct {
		what string
		list []answer
	}{{"page", m.page}, {"total", m.total}} {
		if slow := at(c.list, 0.99); slow.took >= targetP99 {
			fmt.Fprintf(w, "  %s %v: %v\n", c.what, slow.took, slow.question)
		}
	}
}
