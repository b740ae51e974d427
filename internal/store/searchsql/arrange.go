package searchsql

import (
	"context"
	"math"

	"muster/internal/search/index"
	"muster/internal/search/plan"
)

// Bounds of the counts that decide about the order of work.
const (
	// SearchBound is up to how many rows a search gathers a set: a page is wanted at
	// once. ExportBound is the same for a selection, which wants all rows anyway.
	SearchBound = 10_000
	ExportBound = 50_000

	// mostCounts is how many counts are made for one plan. What a plan asks for
	// beyond that is ranked by kind.
	mostCounts = 200
)

// A Count runs a statement that gives one number.
type Count func(ctx context.Context, s Statement) (int64, error)

// Arrange fixes the order of work by the kinds of conditions alone.
func Arrange(p plan.Plan) Work {
	root := conjunction(p.Root, p.Type)
	root.guess()
	return Work{root: root}
}

// Arrange fixes the order of work by counts that stop early: at first at a hundred
// entries, where most questions are decided, then later, at last at the bound. In
// each conjunction, at every step of a chain, the condition with the smallest set
// drives. Errors are those of count.
func (d Dialect) Arrange(ctx context.Context, p plan.Plan, bound int64, count Count) (Work, error) {
	a := arranger{ctx: ctx, d: d, count: count, left: mostCounts}
	root := conjunction(p.Root, p.Type)
	root.guess()
	rows := unknown
	for _, limit := range rungs(bound) {
		if rows = a.conjunction(root, limit); rows < limit || rows == unknown {
			break
		}
	}
	if a.err != nil {
		return Work{}, a.err
	}
	return Work{root: root, broad: rows >= bound}, nil
}

// rungs are the limits of the counts, each ten times the one before.
func rungs(bound int64) (limits []int64) {
	for limit := int64(100); limit < bound; limit *= 10 {
		limits = append(limits, limit)
	}
	return append(limits, bound)
}

// unknown is the count of what gives no set.
const unknown = int64(math.MaxInt64)

type arranger struct {
	ctx   context.Context
	d     Dialect
	count Count
	left  int // counts that may still be made
	err   error
}

// conjunction chooses what drives and returns its rows, up to the limit.
func (a *arranger) conjunction(s *step, limit int64) int64 {
	best := unknown
	for i, kid := range s.kids {
		if kid.cost() == never {
			continue
		}
		rows := a.rows(kid, limit)
		if rows < best || rows == best && rows != unknown && kid.cost() < s.kids[s.driver].cost() {
			s.driver, best = i, rows
		}
		if best == 0 {
			break
		}
	}
	return best
}

// rows returns how many rows a step gives as a set, up to the limit. A set behind a
// set of limit rows is taken for as large: to count it would be work without end.
func (a *arranger) rows(s *step, limit int64) int64 {
	switch {
	case s.cost() == never:
		return unknown
	case s.exact || s.counted >= limit:
		return min(s.counted, limit)
	}
	switch s.node.(type) {
	case plan.And:
		return a.conjunction(s, limit)
	case plan.Or:
		return a.union(s, limit)
	case plan.Chain, plan.Has:
		inner := a.conjunction(s.kids[0], limit)
		_, back := s.node.(plan.Has)
		switch {
		case inner >= limit:
			return limit
		case inner == 0:
			s.exact = true
			return 0
		case back:
			// Nearly all references are to one resource: to follow them would cost more
			// than to know better is worth.
			return inner
		}
	}
	if _, needle := s.partOf(); needle != "" && !a.chooseProbe(s, needle, limit) {
		return limit
	}
	return a.counted(s, limit)
}

// union adds up the alternatives; plain ones are counted in one statement.
func (a *arranger) union(s *step, limit int64) int64 {
	plain := true
	for _, kid := range s.kids {
		plain = plain && kid.plain()
	}
	if plain {
		return a.counted(s, limit)
	}
	sum := int64(0)
	for _, kid := range s.kids {
		if sum += min(a.rows(kid, limit), limit); sum >= limit {
			return limit
		}
	}
	return sum
}

// plain reports whether nothing is to be decided within the step.
func (s *step) plain() bool {
	_, needle := s.partOf()
	return len(s.kids) == 0 && needle == ""
}

// chooseProbe finds the rarest piece of a needle, false if none has less than limit texts.
func (a *arranger) chooseProbe(s *step, needle string, limit int64) bool {
	param, _ := s.partOf()
	best := unknown
	for _, probe := range index.Probes(needle) {
		var f fragment
		f.add("SELECT count(*) FROM (SELECT 1 FROM ix_gram AS t1 WHERE t1.param = ?", param)
		begins(&f, "t1.gram", probe)
		f.add(" LIMIT ?) AS n", limit)
		if n := a.ask(&f, limit); n < best {
			s.probe, best = probe, n
		}
	}
	return best < limit
}

// counted counts the set of a step.
func (a *arranger) counted(s *step, limit int64) int64 {
	w := &writer{d: a.d}
	var f fragment
	f.add("SELECT count(*) FROM (\n")
	f.put(w.set(s))
	f.add("\nLIMIT ?\n) AS n", limit)
	s.counted = a.ask(&f, limit)
	s.exact = s.counted < limit
	return s.counted
}

// ask makes one count. After an error, and when there have been too many, every
// answer is the limit.
func (a *arranger) ask(f *fragment, limit int64) int64 {
	if a.err != nil || a.left == 0 {
		return limit
	}
	a.left--
	n, err := a.count(a.ctx, a.d.statement(f))
	if err != nil {
		a.err = err
		return limit
	}
	return n
}

// guess chooses what drives by kind: of the cheapest, the first.
func (s *step) guess() {
	for _, kid := range s.kids {
		kid.guess()
	}
	if _, ok := s.node.(plan.And); !ok {
		return
	}
	s.driver = -1
	best := never
	for i, kid := range s.kids {
		if c := kid.cost(); c < best {
			s.driver, best = i, c
		}
	}
}
