package searchtest

import (
	"slices"

	"muster/internal/fhir"
	"muster/internal/search/query"
)

// Restrict returns the directory as a client finds it that reaches some types: it has no resources of
// other types, and no Provenance with a target of another type, or of an unknown one.
func (d *Directory) Restrict(types fhir.TypeSet) *Directory {
	seen := NewDirectory(d.base, d.zone)
	for _, t := range types.Types() {
		for _, r := range d.byType[t] {
			if t == fhir.Provenance && types != fhir.AllTypes() && !d.isAbout(r, types) {
				continue
			}
			found := *r
			found.values, found.hidden = map[string][]value{}, nil
			seen.byType[t] = append(seen.byType[t], &found)
			seen.byName[r.name()] = &found
		}
	}
	return seen
}

// isAbout reports whether all targets of a Provenance are known to be of some types.
func (d *Directory) isAbout(r *Resource, types fhir.TypeSet) bool {
	target := parametersByType[fhir.Provenance]["target"]
	return !slices.ContainsFunc(d.read(r, "target"), func(v value) bool {
		of := typeOf(v.target)
		return v.identifier != nil || !types.Has(of) || !target.pointsTo(of.String())
	})
}

// typeOf returns the type in Type/id, 0 if it is not of the directory.
func typeOf(name string) fhir.Type {
	for _, t := range fhir.Types() {
		if len(name) > len(t.String()) && name[:len(t.String())+1] == t.String()+"/" {
			return t
		}
	}
	return 0
}

// Readable reports whether a client may read a resource that it reaches.
func (d *Directory) Readable(name string) bool {
	r := d.byName[name]
	return r != nil && d.visible(r)
}

// Reached returns the types of the resources on which the answer to a query depends.
func Reached(q query.Query) fhir.TypeSet {
	types := fhir.TypesOf(q.Type)
	for _, p := range q.Params {
		types |= reached([]fhir.Type{q.Type}, resolveAgentWho(p))
	}
	return types
}

// reached returns the types that the steps of a criterion lead to, from resources of some types.
func reached(from []fhir.Type, p query.Param) (types fhir.TypeSet) {
	switch p := p.(type) {
	case query.Chain:
		var next []fhir.Type
		for _, t := range from {
			next = append(next, chained(t, p)...)
		}
		return fhir.TypesOf(next...) | reached(next, p.Next)
	case query.Has:
		t, _ := fhir.ParseType(p.Type)
		return fhir.TypesOf(t) | reached([]fhir.Type{t}, p.Next)
	case query.TypeTest:
		t, _ := fhir.ParseType(p.Type)
		return fhir.TypesOf(t)
	}
	return 0
}

// chained returns the types that a step leads to from resources of a type, and that have the
// parameter after it.
func chained(from fhir.Type, c query.Chain) (types []fhir.Type) {
	ref, _, _ := lookUpParameter(from, c.Ref)
	for _, t := range ref.targets {
		if (c.Type == "" || c.Type == t.String()) && has(t, c.Next) {
			types = append(types, t)
		}
	}
	return types
}

// has reports whether resources of a type have the parameter of a criterion.
func has(t fhir.Type, p query.Param) bool {
	switch p := p.(type) {
	case query.Criterion:
		_, _, ok := lookUpParameter(t, p.Name)
		return ok
	case query.Chain:
		return len(chained(t, p)) > 0
	case query.Has:
		from, _ := fhir.ParseType(p.Type)
		ref, _, _ := lookUpParameter(from, p.Ref)
		return ref.pointsTo(t.String()) && has(from, p.Next)
	}
	return true
}

// Include is an _include or, if Reverse is set, a _revinclude.
type Include struct {
	Source  fhir.Type
	Ref     string
	Targets []fhir.Type
	Reverse bool
}

// Includes returns all includes of a search of a type.
func Includes(t fhir.Type) (list []Include) {
	for _, source := range fhir.Types() {
		for _, ref := range codesOfKind(source, reference) {
			targets := parametersByType[source][ref].targets
			if source == t {
				list = append(list, Include{source, ref, targets, false})
			}
			if slices.Contains(targets, t) {
				list = append(list, Include{source, ref, targets, true})
			}
		}
	}
	return list
}

// Included returns the Type/id, sorted, of the visible resources that a search with an include has
// besides its matches.
func (d *Directory) Included(t fhir.Type, matches []string, i Include) (names []string) {
	e := &evaluation{d: d}
	for _, match := range matches {
		m := d.byName[t.String()+"/"+match]
		for _, other := range d.byName {
			refers := !i.Reverse && e.refersTo(m, i.Ref, other) || i.Reverse && other.Type == i.Source && e.refersTo(other, i.Ref, m)
			isMatch := other.Type == t && slices.Contains(matches, other.ID)
			if refers && !isMatch && d.visible(other) {
				names = append(names, other.name())
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}
