package searchtest

import (
	"fmt"
	"slices"

	"muster/internal/fhir"
	"muster/internal/search/query"
)

// Answer is the result of a query.
type Answer struct {
	IDs       []string // in ascending order
	Ambiguous bool     // a position is so close to the edge of a circle that both results are right
}

// Find answers a query of the search API or of an export without _since. It finds
// visible resources, or those in the state that the query names (VI-01, VI-04, VI-06,
// VI-09). It returns an error if the query must be refused.
func (d *Directory) Find(q query.Query) (Answer, error) {
	return d.find(q, 0, d.visible)
}

// FindSince answers a query of an export with _since. It finds resources of later loads
// than batch, in any state; chains lead through resources in any state. State criteria
// at the top level are ignored (VI-10, VI-11, VI-16).
func (d *Directory) FindSince(q query.Query, batch int) (Answer, error) {
	return d.find(q, batch, func(*Resource) bool { return true })
}

// FindSinceUnsuppressed is like [Directory.FindSince] for a client without access to
// suppressed resources: it finds no suppressed resources, and chains do not lead through
// them.
func (d *Directory) FindSinceUnsuppressed(q query.Query, batch int) (Answer, error) {
	return d.find(q, batch, d.unsuppressed)
}

// find answers a query. If after is positive, it finds resources of later loads for which
// mayTraverse is true. mayTraverse also decides which resources a chain may lead through.
func (d *Directory) find(q query.Query, after int, mayTraverse func(*Resource) bool) (Answer, error) {
	e := &evaluation{d: d, mayTraverse: mayTraverse}
	since := after > 0
	named := map[string]bool{}
	substantive := false
	var params []query.Param
	for _, p := range q.Params {
		p = resolveAgentWho(p)
		if err := e.validate([]fhir.Type{q.Type}, p); err != nil {
			return Answer{}, err
		}
		l, ok := p.(query.Criterion)
		role := ""
		if ok {
			of, _, _ := lookUpParameter(q.Type, l.Name)
			role = of.role
		}
		substantive = substantive || role == ""
		if role == "state" {
			named[l.Name] = true
			if since {
				continue
			}
		}
		params = append(params, p)
	}
	if !substantive {
		return Answer{}, fmt.Errorf("the search has no substantive criterion (SR-10)")
	}
	var a Answer
	for _, r := range d.byType[q.Type] {
		shown := since && mayTraverse(r) || !since && d.shown(r, named)
		if r.Batch > after && shown && e.matchesAll(r, params) {
			a.IDs = append(a.IDs, r.ID)
		}
	}
	slices.Sort(a.IDs)
	a.Ambiguous = e.ambiguous
	return a, nil
}

// shown reports whether a resource is visible by the state elements that the query does
// not name.
func (d *Directory) shown(r *Resource, named map[string]bool) bool {
	if r.Type == fhir.Provenance {
		return d.visible(r)
	}
	return (named[stateElement(r.Type)] || active(r)) && (named["suppressed"] || !suppressed(r))
}

// evaluation is the evaluation of one query.
type evaluation struct {
	d           *Directory
	mayTraverse func(*Resource) bool // whether chains may lead through a resource
	ambiguous   bool
}

func (e *evaluation) matchesAll(r *Resource, params []query.Param) bool {
	for _, p := range params {
		if !e.matches(r, p) {
			return false
		}
	}
	return true
}

// matches reports whether a resource matches a criterion.
func (e *evaluation) matches(r *Resource, p query.Param) bool {
	switch p := p.(type) {
	case query.Criterion:
		return e.matchesCriterion(r, p)
	case query.Chain:
		ref, code, ok := lookUpParameter(r.Type, p.Ref)
		if !ok {
			return false
		}
		for _, v := range e.d.read(r, code) {
			next := e.d.byName[v.target]
			if next != nil && ref.pointsTo(next.Type.String()) && (p.Type == "" || p.Type == next.Type.String()) && e.mayTraverse(next) && e.matches(next, p.Next) {
				return true
			}
		}
	case query.Has:
		from, _ := fhir.ParseType(p.Type)
		_, code, _ := lookUpParameter(from, p.Ref)
		for _, back := range e.d.byType[from] {
			if e.mayTraverse(back) && e.refersTo(back, code, r) && e.matches(back, p.Next) {
				return true
			}
		}
	case query.TypeTest:
		for _, v := range e.d.read(r, p.Ref) {
			if len(v.target) > len(p.Type) && v.target[:len(p.Type)+1] == p.Type+"/" {
				return true
			}
		}
	}
	return false
}

func (e *evaluation) refersTo(from *Resource, ref string, to *Resource) bool {
	if !parametersByType[from.Type][ref].pointsTo(to.Type.String()) {
		return false
	}
	for _, v := range e.d.read(from, ref) {
		if v.target == to.name() {
			return true
		}
	}
	return false
}

func (e *evaluation) matchesCriterion(r *Resource, l query.Criterion) bool {
	p, code, ok := lookUpParameter(r.Type, l.Name)
	if !ok {
		return false
	}
	l.Name = code
	values := e.d.read(r, l.Name)
	if l.Modifier == "missing" {
		present := len(values) > 0
		if p.isPresent != nil {
			present = p.isPresent(r)
		}
		return present == (l.Values[0].Parts[0] == "false")
	}
	for _, want := range l.Values {
		plain := l
		if l.Modifier == "not" || l.Modifier == "exact" && p.kind == token {
			plain.Modifier = ""
		}
		matches, err := e.predicate(p, plain, want)
		if err != nil {
			return false // the value is for another type
		}
		for _, v := range values {
			if matches(v) {
				return l.Modifier != "not"
			}
		}
	}
	return l.Modifier == "not"
}

// read returns the values of a parameter from the cache, or reads them.
func (d *Directory) read(r *Resource, code string) []value {
	values, ok := r.values[code]
	if !ok {
		values = parametersByType[r.Type][code].read(d, r)
		r.values[code] = values
	}
	return values
}
