package storetest

import (
	"slices"
	"strings"

	"muster/internal/fhir"
	"muster/internal/search/index"
	"muster/internal/search/plan"
	"muster/internal/store"
)

// model is the naive directory that a store is compared with: a list of current
// resources, searched by looking at each entry of each.
type model struct {
	resources []modelResource // in order of arrival
}

type modelResource struct {
	store.Change
	committed, updated fhir.Moment
}

func (m *model) find(t fhir.Type, id string) int {
	return slices.IndexFunc(m.resources, func(r modelResource) bool { return r.Type == t && r.ID == id })
}

// apply repeats what the store did with a change that was committed at a time.
func (m *model) apply(c store.Change, at fhir.Moment) store.Outcome {
	i := m.find(c.Type, c.ID)
	r := modelResource{Change: c, committed: at, updated: at}
	if c.LastUpdated != nil {
		r.updated = *c.LastUpdated
	}
	switch {
	case c.Remove && i < 0:
		return store.Absent
	case c.Remove:
		m.resources = slices.Delete(m.resources, i, i+1)
		return store.Removed
	case i < 0:
		m.resources = append(m.resources, r)
		return store.Created
	case m.resources[i].SourceHash == c.SourceHash:
		return store.Unchanged
	}
	m.resources[i] = r
	return store.Updated
}

// search returns the ids of the resources that a plan finds, in order of arrival.
func (m *model) search(p plan.Plan) (ids []string) {
	for i := range m.resources {
		if r := &m.resources[i]; r.Type == p.Type && r.holds(p.Root) {
			ids = append(ids, r.ID)
		}
	}
	return ids
}

func (r *modelResource) holds(n plan.Node) bool {
	switch n := n.(type) {
	case plan.And:
		return !slices.ContainsFunc(n, func(n plan.Node) bool { return !r.holds(n) })
	case plan.Or:
		return slices.ContainsFunc(n, r.holds)
	case plan.Not:
		return !r.holds(n.Node)
	case plan.IDs:
		return slices.Contains(n, r.ID)
	case plan.Updated:
		return compares(n.Compare, fhir.Period{From: r.updated, To: r.updated + 1})
	case plan.Since:
		return r.committed > n.After
	case plan.Visible:
		return !(n.Active && r.Visibility&index.Inactive != 0) && !(n.NotSuppressed && r.Visibility&index.Suppressed != 0)
	}
	return slices.ContainsFunc(r.Entries, func(e index.Entry) bool { return entryHolds(e, n) })
}

func entryHolds(e index.Entry, n plan.Node) bool {
	switch n := n.(type) {
	case plan.Token:
		return e.Kind == index.Token && e.Param == n.Param &&
			(n.System == nil || e.System == *n.System) && (n.Code == nil || e.Code == *n.Code)
	case plan.String:
		if e.Kind != index.String || e.Param != n.Param {
			return false
		}
		return n.Exact && e.Exact == n.Text || !n.Exact && strings.HasPrefix(e.Norm, n.Text)
	case plan.Date:
		return e.Kind == index.Date && e.Param == n.Param && compares(n.Compare, e.Period)
	case plan.Reference:
		return e.Kind == index.Reference && e.Param == n.Param &&
			(n.ID == "" || e.Code == n.ID) && (n.Type == "" || e.System == n.Type)
	case plan.URI:
		return e.Kind == index.URI && e.Param == n.Param && e.Code == n.Value
	case plan.Present:
		return e.Kind == n.Kind && e.Param == n.Param
	}
	return false
}

// compares is the comparison of SR-44, moment by moment for whole periods.
func compares(c plan.Comparison, e fhir.Period) bool {
	within := c.Period.From <= e.From && e.To <= c.Period.To
	partAfter, partBefore := e.To > c.Period.To, e.From < c.Period.From
	switch c.Prefix {
	case plan.EQ:
		return within
	case plan.NE:
		return !within
	case plan.GT:
		return partAfter
	case plan.LT:
		return partBefore
	case plan.GE:
		return partAfter || within
	case plan.LE:
		return partBefore || within
	case plan.SA:
		return e.From >= c.Period.To
	case plan.EB:
		return e.To <= c.Period.From
	default: // AP
		return max(e.From, c.Period.From) < min(e.To, c.Period.To)
	}
}
