package rulestest

import (
	"cmp"
	"maps"
	"slices"
)

// World is what a directory holds, as its sources wrote it. It is a value: methods return new
// worlds.
type World struct {
	Present map[Name]Object // the own document of each resource
	Gone    map[Name]Object // the last own document of each removed one
}

// Change is a put of a document, a removal, or the load of a line that was served.
type Change struct {
	Name     Name
	Document Object // nil for the others
	Reloaded int    // the version that is loaded again, counted from the last one; 0 for the others
}

// Put returns a change that stores a resource.
func Put(document Object) Change { return Change{Name: NameOf(document), Document: document} }

// Remove returns a change that removes a resource.
func Remove(n Name) Change { return Change{Name: n} }

// after returns the world after a change.
func (w World) after(c Change) World {
	next := World{maps.Clone(w.Present), maps.Clone(w.Gone)}
	if next.Present == nil {
		next = World{map[Name]Object{}, map[Name]Object{}}
	}
	own, present := next.Present[c.Name]
	switch {
	case c.Document != nil:
		next.Present[c.Name] = normalised(c.Document)
		delete(next.Gone, c.Name)
	case present:
		next.Gone[c.Name] = own
		delete(next.Present, c.Name)
	}
	return next
}

// last returns the own document of a resource, or the last one of a removed resource.
func (w World) last(n Name) (Object, bool) {
	if own, ok := w.Present[n]; ok {
		return own, true
	}
	own, ok := w.Gone[n]
	return own, ok
}

// Resource is a resource as a directory stores it.
type Resource struct {
	State
	Document Object // as it is served, without versionId and lastUpdated
	Own      Object // the document without what is inherited
}

// Inherits reports whether the document shows something that the source did not write.
func (r Resource) Inherits() bool { return !equal(r.Document, r.Own) }

// View is a directory as clients see it, with hidden resources.
type View map[Name]Resource

// View computes the state and the document of each resource.
func (w World) View() View {
	v := View{}
	for n, own := range w.Present {
		v[n] = Resource{State: w.state(n), Document: withInherited(own, w.inherited(n)), Own: own}
	}
	return v
}

// Ask is what a query asks for besides visible resources: naming the state on an axis lifts the
// default of this axis alone.
type Ask struct{ AnyActivity, AnySuppression bool }

// Finds reports whether a search or a full export finds a resource.
func (v View) Finds(n Name, ask Ask) bool {
	r, ok := v[n]
	if !ok || r.Inactive && !ask.AnyActivity || r.Suppressed && !ask.AnySuppression {
		return false
	}
	return !slices.ContainsFunc(targets(r.Document), func(about Name) bool { return !v.Finds(about, Ask{}) })
}

// Visible returns the resources that a search, a read and a full export show, sorted.
func (v View) Visible() []Name {
	return v.names(func(n Name) bool { return v.Finds(n, Ask{}) })
}

// InDelta reports whether a delta for a client that gets no suppressed resources may hold a
// resource.
func (v View) InDelta(n Name) bool {
	r, ok := v[n]
	if !ok || r.Suppressed {
		return false
	}
	return !slices.ContainsFunc(targets(r.Document), func(about Name) bool { return !v.InDelta(about) })
}

// targets returns the resources that a Provenance is about.
func targets(document Object) []Name {
	if document["resourceType"] != "Provenance" {
		return nil
	}
	return leads(document["target"])
}

// names returns the names for which keep is true, sorted.
func (v View) names(keep func(Name) bool) []Name {
	list := []Name{}
	for n := range v {
		if keep(n) {
			list = append(list, n)
		}
	}
	return Sorted(list)
}

// Sorted sorts names by type, in loading order, and id.
func Sorted(list []Name) []Name {
	slices.SortFunc(list, func(a, b Name) int {
		return cmp.Or(slices.Index(Types, a.Type)-slices.Index(Types, b.Type), cmp.Compare(a.ID, b.ID))
	})
	return list
}

// Link is an element by which resources of one type refer to resources of another.
type Link struct{ From, Element, To string }

// Follow returns the resources whose reference leads to one for which followed is true, or, in
// reverse, those to which a reference leads, sorted. Both ends must be resources for which
// followed is true.
func (v View) Follow(link Link, reverse bool, followed func(Name) bool) []Name {
	found := View{}
	for from, r := range v {
		if from.Type != link.From || !followed(from) {
			continue
		}
		for _, to := range leads(r.Document[link.Element]) {
			if _, present := v[to]; !present || to.Type != link.To || !followed(to) {
				continue
			}
			if reverse {
				found[to] = v[to]
			} else {
				found[from] = r
			}
		}
	}
	return found.names(func(Name) bool { return true })
}

// leads returns the resources to which an element with one or several references leads.
func leads(element any) (names []Name) {
	list, ok := element.([]any)
	if !ok {
		list = []any{element}
	}
	for _, reference := range list {
		if n, ok := target(reference); ok {
			names = append(names, n)
		}
	}
	return names
}
