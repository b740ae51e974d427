package plan

import (
	"fmt"

	"muster/internal/conformance"
	"muster/internal/fhir"
	"muster/internal/search/query"
)

// chain plans a step forward. A reference that may lead to several types is planned
// for each type that knows what stands behind the step.
func (b *builder) chain(t fhir.Type, c query.Chain) Node {
	p, ok := b.reg.Param(t, c.Ref)
	if !ok || p.Type != conformance.Reference {
		return b.refuse(c.NameAt, fmt.Sprintf("is not a reference of %s that a chain can follow", t))
	}
	var links Or
	known := false
	for _, target := range targets(p, c.Type) {
		if !b.knows(target, c.Next) {
			continue
		}
		known = true
		if node := b.behind(target, c.Next, c.Implied); node != nil {
			links = append(links, Chain{Param: p.ID, Type: target, Node: node})
		}
	}
	switch {
	case !known:
		return b.refuse(c.At, fmt.Sprintf("follows %s of %s to no type that knows what stands behind it", c.Ref, t))
	case len(links) == 0:
		return nil // refused already
	case len(links) == 1:
		return links[0]
	}
	return links
}

// has plans a step back.
func (b *builder) has(t fhir.Type, h query.Has) Node {
	from, ok := fhir.ParseType(h.Type)
	if !ok {
		return b.refuse(h.NameAt, fmt.Sprintf("asks for %s, which is not a type of this directory", h.Type))
	}
	p, ok := b.reg.Param(from, h.Ref)
	if !ok || p.Type != conformance.Reference || len(targets(p, t.String())) == 0 {
		return b.refuse(h.NameAt, fmt.Sprintf("names no reference from %s to %s", from, t))
	}
	node := b.behind(from, h.Next, h.Implied)
	if node == nil {
		return nil
	}
	return Has{Param: p.ID, Type: from, Node: node}
}

// behind plans what must hold for the resource behind a step.
func (b *builder) behind(t fhir.Type, next query.Param, implied []query.Criterion) Node {
	if !b.count(1, next.Where()) {
		return nil
	}
	node := b.param(t, next)
	if node == nil {
		return nil
	}
	visible := b.visible(t, implied)
	if len(visible) == 0 {
		return node
	}
	return append(And{node}, visible...)
}

// visible plans what the policy implies for resources of type t.
func (b *builder) visible(t fhir.Type, implied []query.Criterion) []Node {
	if len(implied) == 0 {
		return nil
	}
	var v Visible
	for _, l := range implied {
		// Behind a reference to several types the policy does not know by which name
		// this one tells whether it is active.
		v.Active = v.Active || l.Name != "suppressed" && l.Modifier != query.ImpliedNotSuppressed
		v.NotSuppressed = v.NotSuppressed || l.Name == "suppressed"
	}
	if t == fhir.Provenance {
		return b.allVisible(implied, v)
	}
	return []Node{v}
}

// allVisible plans the visibility of a Provenance: its own, which is its suppression
// alone, and that of all its targets.
func (b *builder) allVisible(implied []query.Criterion, v Visible) []Node {
	p, ok := b.reg.Param(fhir.Provenance, "target")
	if !ok {
		b.refuse(implied[0].NameAt, "needs the parameter target of Provenance, which is not defined")
		return nil
	}
	return []Node{Visible{NotSuppressed: v.NotSuppressed}, AllVisible{Param: p.ID, Types: targets(p, ""), Visible: v}}
}

// knows reports whether resources of type t can be asked the criterion at all.
func (b *builder) knows(t fhir.Type, next query.Param) bool {
	switch next := next.(type) {
	case query.Criterion:
		p, ok := b.reg.Param(t, next.Name)
		return ok && p.Restricted == ""
	case query.Chain:
		p, ok := b.reg.Param(t, next.Ref)
		if !ok || p.Type != conformance.Reference {
			return false
		}
		for _, target := range targets(p, next.Type) {
			if b.knows(target, next.Next) {
				return true
			}
		}
	case query.Has:
		from, ok := fhir.ParseType(next.Type)
		if !ok {
			return false
		}
		p, ok := b.reg.Param(from, next.Ref)
		return ok && p.Type == conformance.Reference && len(targets(p, t.String())) > 0 && b.knows(from, next.Next)
	}
	return false
}

// targets are the types that a reference may lead to, only the one called name
// unless that is empty.
func targets(p conformance.Param, name string) (types []fhir.Type) {
	for _, target := range p.Target {
		if t, ok := fhir.ParseType(target); ok && (name == "" || name == target) {
			types = append(types, t)
		}
	}
	return types
}
