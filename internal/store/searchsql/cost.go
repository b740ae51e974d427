package searchsql

import (
	"muster/internal/search/plan"
)

// cost ranks the steps that can drive: the smaller, the fewer rows are to be
// expected. It is a guess from the kind of condition alone, for where counts say
// nothing.
type cost int

const (
	byID cost = iota
	byIdentity
	byCode
	byText
	byPlace
	byRange
	byLink
	byCommit
	byPresence
	never
)

// mostAlternatives is how many selections one UNION ALL may join: SQLite's limit.
const mostAlternatives = 500

// cost is [never] when no index gives the rows of the step in one or a few runs of
// which nearly all entries count.
func (s *step) cost() cost {
	switch n := s.node.(type) {
	case plan.IDs:
		return byID
	case plan.Reference:
		if n.ID != "" {
			return byIdentity
		}
	case plan.URI:
		return byIdentity
	case plan.Token:
		if n.Code != nil {
			return byCode
		}
	case plan.String:
		if n.Exact || n.Text != "" {
			return byText
		}
	case plan.TokenPart:
		if n.Text != "" {
			return byText
		}
	case plan.Near:
		return byPlace
	case plan.Number:
		if n.Prefix != plan.NE {
			return byRange
		}
	case plan.Updated:
		if n.Compare.Prefix != plan.NE {
			return byRange
		}
	case plan.Date:
		return dateCost(n)
	case plan.Since:
		return byCommit
	case plan.Present:
		return byPresence
	case plan.Chain, plan.Has:
		return linkCost(s.kids[0].cost())
	case plan.Or:
		return s.worst()
	case plan.And:
		return s.best()
	}
	return never
}

// dateCost looks at what the start of a period alone tells, since that is how the
// index is sorted.
func dateCost(n plan.Date) cost {
	switch n.Compare.Prefix {
	case plan.EQ, plan.LT, plan.LE, plan.SA:
		return byRange
	default:
		return never
	}
}

func linkCost(inner cost) cost {
	if inner == never {
		return never
	}
	return max(inner, byLink)
}

// worst is the cost of an Or: it drives when each alternative can.
func (s *step) worst() cost {
	if len(s.kids) > mostAlternatives {
		return never
	}
	c := byID
	for _, kid := range s.kids {
		c = max(c, kid.cost())
	}
	return c
}

// best is the cost of a conjunction: one of its conditions has to drive.
func (s *step) best() cost {
	c := never
	for _, kid := range s.kids {
		c = min(c, kid.cost())
	}
	return c
}

// sorted reports whether the rows of the step come from the index in ascending
// order and each once: the condition fixes all of an index but the row key.
func (s *step) sorted() bool {
	switch n := s.node.(type) {
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
