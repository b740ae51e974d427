package physical

import (
	"muster/internal/fhir"
	"muster/internal/search/index"
	"muster/internal/search/plan"
)

// NotDriven is the value of [Step.Driving] of a conjunction without a driving
// condition: its rows are found by a scan.
const NotDriven = -1

// Plan is a plan with its order of execution.
type Plan struct {
	Root *Step // always a conjunction
	// LargeDrivingSet reports whether even the smallest set that could drive reached
	// the limit of the counts. A query that wants only some of the rows should then not
	// materialize the set.
	LargeDrivingSet bool
}

// Step is a node of a plan with the decisions made for it.
type Step struct {
	Node         plan.Node // operands of And, Or, Not, Chain and Has are in Children instead
	ResourceType fhir.Type // type of the resources that the condition tests
	Children     []*Step   // a Chain or Has has exactly one child, a conjunction

	Driving int    // of a conjunction: index of the driving child, or NotDriven
	Probe   string // of a substring search: the piece of the text to look up first

	// RowCount is the number of rows of the step as a set, duplicates included, as far
	// as they were counted. RowCountExact reports whether all rows were counted.
	RowCount      int64
	RowCountExact bool
}

// New returns the physical plan of p in which no condition drives yet.
func New(p plan.Plan) Plan { return Plan{Root: newConjunction(p.Root, p.Type)} }

// newConjunction returns a step for the conditions that must all hold.
func newConjunction(n plan.Node, t fhir.Type) *Step {
	s := &Step{Node: plan.And{}, ResourceType: t, Driving: NotDriven}
	for _, operand := range conjuncts(nil, n) {
		s.Children = append(s.Children, newStep(operand, t))
	}
	return s
}

func newStep(n plan.Node, t fhir.Type) *Step {
	s := &Step{Node: n, ResourceType: t, Driving: NotDriven}
	switch n := n.(type) {
	case plan.And:
		return newConjunction(n, t)
	case plan.Or:
		for _, operand := range disjuncts(nil, n) {
			s.Children = append(s.Children, newStep(operand, t))
		}
	case plan.Not:
		s.Children = []*Step{newStep(n.Node, t)}
	case plan.Chain:
		s.Children = []*Step{newConjunction(n.Node, n.Type)}
	case plan.Has:
		s.Children = []*Step{newConjunction(n.Node, n.Type)}
	}
	if _, substring := s.Substring(); substring != "" {
		s.Probe = index.Probes(substring)[0]
	}
	return s
}

// conjuncts flattens nested conjunctions.
func conjuncts(dst []plan.Node, n plan.Node) []plan.Node {
	and, ok := n.(plan.And)
	if !ok {
		return append(dst, n)
	}
	for _, operand := range and {
		dst = conjuncts(dst, operand)
	}
	return dst
}

// disjuncts flattens nested disjunctions.
func disjuncts(dst []plan.Node, n plan.Node) []plan.Node {
	or, ok := n.(plan.Or)
	if !ok {
		return append(dst, n)
	}
	for _, operand := range or {
		dst = disjuncts(dst, operand)
	}
	return dst
}

// Substring returns the parameter and the folded text of a substring search. The text
// is empty for all other steps.
func (s *Step) Substring() (param int, text string) {
	switch n := s.Node.(type) {
	case plan.String:
		if n.Contains && !n.Exact {
			return n.Param, n.Text
		}
	case plan.TokenPart:
		return n.Param, index.Fold(n.Text)
	}
	return 0, ""
}

// RowKeyOrdered reports whether an index returns the rows of the step in ascending
// order of the row key and without duplicates. It does when the condition fixes all
// columns of the index except the row key.
func (s *Step) RowKeyOrdered() bool {
	switch n := s.Node.(type) {
	case plan.Token:
		return n.System != nil && n.Code != nil
	case plan.String:
		return n.Exact
	case plan.Reference:
		return n.ID != "" && n.Type != ""
	case plan.URI:
		return true
	case plan.Number:
		return n.Prefix == plan.EQ
	}
	return false
}

// Driven reports whether a condition drives.
func (p Plan) Driven() bool { return p.Root.Driving != NotDriven }

// Unordered reports whether the driving condition produces its rows in no order, so
// that some rows may repeat.
func (p Plan) Unordered() bool { return p.Driven() && !p.driving().RowKeyOrdered() }

// MayExceed reports whether the driving condition may produce more than n rows. It is
// then faster to count rows as they are found than to materialize them.
func (p Plan) MayExceed(n int64) bool {
	driving := p.driving()
	return !driving.RowCountExact || driving.RowCount > n
}

func (p Plan) driving() *Step { return p.Root.Children[p.Root.Driving] }
