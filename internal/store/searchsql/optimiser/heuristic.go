package optimiser

import (
	"slices"

	"muster/internal/search/index"
	"muster/internal/search/plan"
	"muster/internal/store/searchsql/physical"
)

// ByHeuristic chooses the driving conditions of a plan by the kinds of conditions
// alone.
func ByHeuristic(p plan.Plan) physical.Plan {
	optimised := physical.New(p)
	chooseByHeuristic(optimised.Root)
	return optimised
}

// chooseByHeuristic chooses the child with the lowest cost in each conjunction, the
// first of several.
func chooseByHeuristic(s *physical.Step) {
	for _, child := range s.Children {
		chooseByHeuristic(child)
	}
	if _, ok := s.Node.(plan.And); !ok {
		return
	}
	s.Driving = physical.NotDriven
	best := notIndexable
	for i, child := range s.Children {
		if c := costOf(child); c < best {
			s.Driving, best = i, c
		}
	}
}

// IndexableConditions returns how many conditions of the plan's conjunction can drive.
func IndexableConditions(p plan.Plan) int {
	n := 0
	for _, child := range physical.New(p).Root.Children {
		if costOf(child) != notIndexable {
			n++
		}
	}
	return n
}

// HasSingleAccessPath reports whether the optimiser has no choice: in the plan's
// conjunction, and in each conjunction within its driving condition, exactly one
// condition can drive. A query in no order then needs no counts.
func HasSingleAccessPath(p physical.Plan) bool { return conjunctionHasSinglePath(p.Root) }

func conjunctionHasSinglePath(s *physical.Step) bool {
	candidates := 0
	for _, child := range s.Children {
		if costOf(child) == notIndexable {
			continue
		}
		if candidates++; candidates > 1 || !hasSinglePath(child) {
			return false
		}
	}
	return candidates == 1
}

func hasSinglePath(s *physical.Step) bool {
	switch s.Node.(type) {
	case plan.And:
		return conjunctionHasSinglePath(s)
	case plan.Chain, plan.Has:
		return conjunctionHasSinglePath(s.Children[0])
	case plan.Or:
		return !slices.ContainsFunc(s.Children, func(child *physical.Step) bool { return !hasSinglePath(child) })
	}
	_, substring := s.Substring()
	return substring == "" || len(index.Probes(substring)) == 1
}
