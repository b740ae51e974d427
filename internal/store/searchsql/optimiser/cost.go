package optimiser

import (
	"muster/internal/search/plan"
	"muster/internal/store/searchsql/physical"
)

// cost ranks the kinds of conditions: the lower the cost, the fewer rows are expected.
// It decides where counts do not.
type cost int

const (
	byID cost = iota
	byIdentity
	byCode
	byText
	byPosition
	byRange
	byReference
	byCommit
	byPresence
	notIndexable
)

// maxAlternatives is the maximum number of selections in one UNION ALL: SQLite's limit.
const maxAlternatives = 500

// costOf returns [notIndexable] unless an index returns the rows of the step in a few
// ranges in which nearly all entries match.
func costOf(s *physical.Step) cost {
	switch n := s.Node.(type) {
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
		return byPosition
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
		return referenceCost(costOf(s.Children[0]))
	case plan.Or:
		return highestCost(s.Children)
	case plan.And:
		return lowestCost(s.Children)
	}
	return notIndexable
}

// dateCost ranks a comparison of dates. The index is sorted by the start of the period,
// so only comparisons that bound the start are indexable.
func dateCost(n plan.Date) cost {
	switch n.Compare.Prefix {
	case plan.EQ, plan.LT, plan.LE, plan.SA:
		return byRange
	default:
		return notIndexable
	}
}

func referenceCost(inner cost) cost {
	if inner == notIndexable {
		return notIndexable
	}
	return max(inner, byReference)
}

// highestCost returns the cost of a disjunction: it can drive if every alternative can.
func highestCost(alternatives []*physical.Step) cost {
	if len(alternatives) > maxAlternatives {
		return notIndexable
	}
	highest := byID
	for _, s := range alternatives {
		highest = max(highest, costOf(s))
	}
	return highest
}

// lowestCost returns the cost of a conjunction: it can drive if one of its conditions
// can.
func lowestCost(conditions []*physical.Step) cost {
	lowest := notIndexable
	for _, s := range conditions {
		lowest = min(lowest, costOf(s))
	}
	return lowest
}
