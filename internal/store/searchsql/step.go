package searchsql

import (
	"muster/internal/fhir"
	"muster/internal/search/index"
	"muster/internal/search/plan"
)

// Work is a plan with its order of work, ready to be written for a dialect.
type Work struct {
	root *step // always a conjunction
	// broad tells that even the smallest set that could drive was not counted to its
	// end: who wants some rows only should not gather it.
	broad bool
}

// step is a node of a plan with what has been decided about it.
type step struct {
	node plan.Node // And, Or, Not, Link and Back without what they join, which kids holds
	of   fhir.Type // of the resources that it is asked about
	kids []*step   // a Link or Back has one, a conjunction

	driver int    // of a conjunction: which of the kids gives the rows; -1 for none
	probe  string // of a search within texts: the piece to look for first

	// counted is how many rows the step gives as a set, repetitions included, as far
	// as counting went; exact tells that it went to the end.
	counted int64
	exact   bool
}

// conjunction makes a step of the conditions that must all hold.
func conjunction(n plan.Node, t fhir.Type) *step {
	s := &step{node: plan.And{}, of: t, driver: -1}
	for _, part := range flatten(nil, n) {
		s.kids = append(s.kids, newStep(part, t))
	}
	return s
}

func newStep(n plan.Node, t fhir.Type) *step {
	s := &step{node: n, of: t, driver: -1}
	switch n := n.(type) {
	case plan.And:
		return conjunction(n, t)
	case plan.Or:
		for _, part := range alternatives(nil, n) {
			s.kids = append(s.kids, newStep(part, t))
		}
	case plan.Not:
		s.kids = []*step{newStep(n.Node, t)}
	case plan.Chain:
		s.kids = []*step{conjunction(n.Node, n.Type)}
	case plan.Has:
		s.kids = []*step{conjunction(n.Node, n.Type)}
	}
	if _, needle := s.partOf(); needle != "" {
		s.probe = index.Probes(needle)[0]
	}
	return s
}

// flatten lists the conditions that must all hold.
func flatten(dst []plan.Node, n plan.Node) []plan.Node {
	and, ok := n.(plan.And)
	if !ok {
		return append(dst, n)
	}
	for _, part := range and {
		dst = flatten(dst, part)
	}
	return dst
}

// alternatives lists the conditions of which one must hold.
func alternatives(dst []plan.Node, n plan.Node) []plan.Node {
	or, ok := n.(plan.Or)
	if !ok {
		return append(dst, n)
	}
	for _, part := range or {
		dst = alternatives(dst, part)
	}
	return dst
}
