package optimiser

import (
	"context"
	"math"

	"muster/internal/search/index"
	"muster/internal/search/plan"
	"muster/internal/store/searchsql/physical"
	"muster/internal/store/searchsql/sqlwriter"
)

// maxCounts is the maximum number of counts for one plan. The conditions that remain
// are ranked by the heuristic.
const maxCounts = 200

// A CountFunc runs a statement that returns one number.
type CountFunc func(ctx context.Context, s sqlwriter.Statement) (int64, error)

// Optimise chooses the driving conditions of a plan by counts. No count exceeds the
// limit. The errors are those of count.
func Optimise(ctx context.Context, d sqlwriter.Dialect, p plan.Plan, limit int64, count CountFunc) (physical.Plan, error) {
	o := optimiser{dialect: d, count: count, countsLeft: maxCounts}
	optimised := ByHeuristic(p)
	rows := unknown
	for _, limit := range countLimits(limit) {
		if rows = o.chooseByCounts(ctx, optimised.Root, limit); rows < limit || rows == unknown {
			break
		}
	}
	if o.err != nil {
		return physical.Plan{}, o.err
	}
	optimised.LargeDrivingSet = rows >= limit
	return optimised, nil
}

// countLimits returns the successive limits of the counts, up to the last.
func countLimits(last int64) (limits []int64) {
	for limit := int64(100); limit < last; limit *= 10 {
		limits = append(limits, limit)
	}
	return append(limits, last)
}

// unknown is the row count of a condition that cannot drive.
const unknown = int64(math.MaxInt64)

type optimiser struct {
	dialect    sqlwriter.Dialect
	count      CountFunc
	countsLeft int
	err        error // of the first count that failed
}

// chooseByCounts chooses the driving child of a conjunction and returns its rows, up to
// the limit.
func (o *optimiser) chooseByCounts(ctx context.Context, s *physical.Step, limit int64) int64 {
	best := unknown
	for i, child := range s.Children {
		if costOf(child) == notIndexable {
			continue
		}
		rows := o.rows(ctx, child, limit)
		if rows < best || rows == best && rows != unknown && costOf(child) < costOf(s.Children[s.Driving]) {
			s.Driving, best = i, rows
		}
		if best == 0 {
			break
		}
	}
	return best
}

// rows returns the number of rows of a step as a set, up to the limit. For a reference
// to a set that reaches the limit it returns the limit without counting, since that
// count could take very long.
func (o *optimiser) rows(ctx context.Context, s *physical.Step, limit int64) int64 {
	switch {
	case costOf(s) == notIndexable:
		return unknown
	case s.RowCountExact || s.RowCount >= limit:
		return min(s.RowCount, limit)
	}
	switch s.Node.(type) {
	case plan.And:
		return o.chooseByCounts(ctx, s, limit)
	case plan.Or:
		return o.sumOfAlternatives(ctx, s, limit)
	case plan.Chain, plan.Has:
		inner := o.chooseByCounts(ctx, s.Children[0], limit)
		_, has := s.Node.(plan.Has)
		switch {
		case inner >= limit:
			return limit
		case inner == 0:
			s.RowCountExact = true
			return 0
		case has:
			// Nearly every reference leads to exactly one resource, so the inner count is
			// a good estimate. Following the references would cost more than it saves.
			return inner
		}
	}
	if _, substring := s.Substring(); substring != "" && !o.chooseProbe(ctx, s, substring, limit) {
		return limit
	}
	return o.countSet(ctx, s, limit)
}

// sumOfAlternatives adds up the rows of the alternatives. If no alternative needs a
// decision, one statement counts them all.
func (o *optimiser) sumOfAlternatives(ctx context.Context, s *physical.Step, limit int64) int64 {
	undecided := false
	for _, child := range s.Children {
		undecided = undecided || needsDecision(child)
	}
	if !undecided {
		return o.countSet(ctx, s, limit)
	}
	sum := int64(0)
	for _, child := range s.Children {
		if sum += min(o.rows(ctx, child, limit), limit); sum >= limit {
			return limit
		}
	}
	return sum
}

// needsDecision reports whether the optimiser decides anything within the step.
func needsDecision(s *physical.Step) bool {
	_, substring := s.Substring()
	return len(s.Children) > 0 || substring != ""
}

// chooseProbe finds the rarest piece of a substring. It returns false if every piece
// occurs in at least limit texts.
func (o *optimiser) chooseProbe(ctx context.Context, s *physical.Step, substring string, limit int64) bool {
	param, _ := s.Substring()
	best := unknown
	for _, probe := range index.Probes(substring) {
		if n := o.run(ctx, o.dialect.ProbeCount(param, probe, limit), limit); n < best {
			s.Probe, best = probe, n
		}
	}
	return best < limit
}

// countSet counts the rows of a step and stores the count in it.
func (o *optimiser) countSet(ctx context.Context, s *physical.Step, limit int64) int64 {
	s.RowCount = o.run(ctx, o.dialect.SetCount(s, limit), limit)
	s.RowCountExact = s.RowCount < limit
	return s.RowCount
}

// run runs one count. After an error, or after [maxCounts] counts, it returns the limit
// without running the statement.
func (o *optimiser) run(ctx context.Context, s sqlwriter.Statement, limit int64) int64 {
	if o.err != nil || o.countsLeft == 0 {
		return limit
	}
	o.countsLeft--
	n, err := o.count(ctx, s)
	if err != nil {
		o.err = err
		return limit
	}
	return n
}
