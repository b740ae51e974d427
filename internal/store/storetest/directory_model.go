package storetest

import (
	"cmp"
	"math"
	"slices"
	"strings"

	"muster/internal/fhir"
	"muster/internal/search/index"
	"muster/internal/search/plan"
	"muster/internal/store"
)

// model is the naive directory that a store is compared with: a list of current
// resources. A search evaluates every entry of every resource.
type model struct {
	resources []modelResource // in order of arrival
}

type modelResource struct {
	store.Change
	committed, updated fhir.Instant
}

func (m *model) find(t fhir.Type, id string) int {
	return slices.IndexFunc(m.resources, func(r modelResource) bool { return r.Type == t && r.ID == id })
}

// apply applies a change that the store has committed at a time.
func (m *model) apply(c store.Change, at fhir.Instant) store.Outcome {
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

// search returns the ids of the resources that match a plan, in order of arrival.
func (m *model) search(p plan.Plan) (ids []string) {
	for i := range m.resources {
		if r := &m.resources[i]; r.Type == p.Type && m.holds(r, p.Root) {
			ids = append(ids, r.ID)
		}
	}
	return ids
}

func (m *model) holds(r *modelResource, n plan.Node) bool {
	holds := func(n plan.Node) bool { return m.holds(r, n) }
	switch n := n.(type) {
	case plan.And:
		return !slices.ContainsFunc(n, func(n plan.Node) bool { return !holds(n) })
	case plan.Or:
		return slices.ContainsFunc(n, holds)
	case plan.Not:
		return !holds(n.Node)
	case plan.Chain:
		return slices.ContainsFunc(r.Entries, func(e index.Entry) bool {
			i := m.find(n.Type, e.Code)
			return e.Kind == index.Reference && e.Param == n.Param && e.System == n.Type.String() && i >= 0 && m.holds(&m.resources[i], n.Node)
		})
	case plan.Has:
		for i := range m.resources {
			other := &m.resources[i]
			refers := entryIn(other.Entries, plan.Reference{Param: n.Param, Type: r.Type.String(), ID: r.ID})
			if other.Type == n.Type && refers && m.holds(other, n.Node) {
				return true
			}
		}
		return false
	case plan.AllVisible:
		return entryIn(r.Entries, plan.Present{Param: n.Param, Kind: index.Reference}) &&
			!slices.ContainsFunc(r.Entries, func(e index.Entry) bool {
				return e.Kind == index.Reference && e.Param == n.Param && !m.visible(n, e.System, e.Code)
			})
	case plan.IDs:
		return slices.Contains(n, r.ID)
	case plan.Updated:
		return compares(n.Compare, fhir.Period{From: r.updated, To: r.updated + 1})
	case plan.Since:
		return r.committed > n.After
	case plan.Visible:
		return shows(n, r.Visibility)
	}
	return entryIn(r.Entries, n)
}

// visible reports whether a resource of one of the types exists and is visible as the
// condition requires.
func (m *model) visible(n plan.AllVisible, name, id string) bool {
	return slices.ContainsFunc(m.resources, func(r modelResource) bool {
		return slices.Contains(n.Types, r.Type) && r.Type.String() == name && r.ID == id && shows(n.Visible, r.Visibility)
	})
}

func shows(n plan.Visible, state index.Visibility) bool {
	return !(n.Active && state&index.Inactive != 0) && !(n.NotSuppressed && state&index.Suppressed != 0)
}

func entryIn(entries []index.Entry, n plan.Node) bool {
	return slices.ContainsFunc(entries, func(e index.Entry) bool { return entryHolds(e, n) })
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
		switch {
		case n.Exact:
			return e.Exact == n.Text
		case n.Contains:
			return strings.Contains(e.Norm, n.Text)
		}
		return strings.HasPrefix(e.Norm, n.Text)
	case plan.TokenPart:
		return e.Kind == index.Token && e.Param == n.Param && (n.System == nil || e.System == *n.System) &&
			strings.Contains(index.Fold(e.Code), index.Fold(n.Text))
	case plan.Number:
		order := cmp.Compare(e.Number, n.Value)
		return e.Kind == index.Number && e.Param == n.Param && map[plan.Prefix]bool{
			plan.EQ: order == 0, plan.NE: order != 0, plan.GT: order > 0, plan.LT: order < 0, plan.GE: order >= 0, plan.LE: order <= 0,
		}[n.Prefix]
	case plan.Near:
		return e.Kind == index.Location && e.Param == n.Param && metres(e.Position, n.Point) <= n.Meters
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

// compares implements the comparison of SR-44 for periods.
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
		return partAfter || e.To > c.Period.From
	case plan.LE:
		return partBefore || e.From < c.Period.To
	case plan.SA:
		return e.From >= c.Period.To
	case plan.EB:
		return e.To <= c.Period.From
	default: // AP
		return max(e.From, c.Period.From) < min(e.To, c.Period.To)
	}
}

// metres returns the great-circle distance from the angle between two vectors. The
// drivers use another formula.
func metres(p, q index.Position) float64 {
	vector := func(p index.Position) [3]float64 {
		lat, lon := p.Latitude*math.Pi/180, p.Longitude*math.Pi/180
		return [3]float64{math.Cos(lat) * math.Cos(lon), math.Cos(lat) * math.Sin(lon), math.Sin(lat)}
	}
	a, b := vector(p), vector(q)
	chord := math.Sqrt((a[0]-b[0])*(a[0]-b[0]) + (a[1]-b[1])*(a[1]-b[1]) + (a[2]-b[2])*(a[2]-b[2]))
	return 2 * index.EarthRadius * math.Asin(min(1, chord/2))
}

// sorted returns the ids of the resources that match a plan, in the given order.
func (m *model) sorted(p plan.Plan, order []plan.Order) []string {
	ids := m.search(p)
	if len(order) == 0 {
		return ids
	}
	last := order[len(order)-1]
	if last.By == plan.ByUpdated && last.Descending {
		slices.Reverse(ids)
	}
	slices.SortStableFunc(ids, func(a, b string) int {
		one, two := &m.resources[m.find(p.Type, a)], &m.resources[m.find(p.Type, b)]
		for _, o := range order {
			if c := one.before(two, o); c != 0 {
				return c
			}
		}
		if last.By == plan.ByUpdated {
			return 0 // in the order of the keys
		}
		return cmp.Compare(a, b)
	})
	return ids
}

// before compares two resources by one sort key.
func (r *modelResource) before(other *modelResource, o plan.Order) int {
	c := 0
	switch o.By {
	case plan.ByID:
		c = cmp.Compare(r.ID, other.ID)
	case plan.ByUpdated:
		c = cmp.Compare(r.updated, other.updated)
	default:
		one, two := r.extreme(o), other.extreme(o)
		if one == nil || two == nil {
			return cmp.Compare(boolean(one == nil), boolean(two == nil)) // resources without a value come last
		}
		c = compareEntries(*one, *two, o)
	}
	if o.Descending {
		return -c
	}
	return c
}

// extreme returns the entry by which a resource is sorted: the smallest one, or the
// largest one in descending order. It returns nil if there is none.
func (r *modelResource) extreme(o plan.Order) (best *index.Entry) {
	for i := range r.Entries {
		e := &r.Entries[i]
		if e.Kind != o.Kind || e.Param != o.Param {
			continue
		}
		if best == nil || o.Descending == (compareEntries(*e, *best, o) > 0) {
			best = e
		}
	}
	return best
}

func compareEntries(a, b index.Entry, o plan.Order) int {
	switch o.Kind {
	case index.Location:
		return cmp.Compare(o.Point.Haversine(a.Position), o.Point.Haversine(b.Position))
	case index.String:
		return cmp.Compare(a.Norm, b.Norm)
	case index.Date:
		return cmp.Compare(a.Period.From, b.Period.From)
	case index.Number:
		return cmp.Compare(a.Number, b.Number)
	default:
		return cmp.Compare(a.Code, b.Code)
	}
}

// boolean returns 1 for true and 0 for false.
func boolean(b bool) int {
	if b {
		return 1
	}
	return 0
}
