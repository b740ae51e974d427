package plan

import (
	"muster/internal/fhir"
	"muster/internal/search/bound"
	"muster/internal/search/index"
	"muster/internal/search/query"
)

// chain plans a step forward from resources of type t: an Or with one Chain for each type
// that the reference may lead to.
func (b *builder) chain(t fhir.Type, c bound.Chain) Node {
	step, _ := c.Step(t)
	var chains Or
	for _, target := range step.Targets {
		if node := b.behind(target, c.Next, c.Chain.Next); node != nil {
			chains = append(chains, Chain{Param: step.Param.ID, Type: target, Node: node})
		}
	}
	switch len(chains) {
	case 0:
		return nil // all are refused
	case 1:
		return chains[0]
	}
	return chains
}

// has plans a step backward.
func (b *builder) has(h bound.Has) Node {
	node := b.behind(h.From, h.Next, h.Has.Next)
	if node == nil {
		return nil
	}
	return Has{Param: h.Param.ID, Type: h.From, Node: node}
}

// behind plans what must hold for the resource of type t behind a step.
func (b *builder) behind(t fhir.Type, next bound.Node, text query.Param) Node {
	if !b.count(1, text.Where()) {
		return nil
	}
	node := b.node(t, next)
	if node == nil {
		return nil
	}
	visible := b.visible(t, b.q.Visibility.Followed)
	if len(visible) == 0 {
		return node
	}
	return append(And{node}, visible...)
}

// visible plans which resources of type t the client may see: those in the state, and no Provenance
// about types that the client does not reach.
func (b *builder) visible(t fhir.Type, s bound.State) []Node {
	nodes := b.state(t, s)
	if t == fhir.Provenance {
		nodes = append(nodes, b.aboutReached()...)
	}
	return nodes
}

// state plans the state that resources of type t must have. A Provenance has a
// suppression of its own, and is visible when all that it is about is visible (VI-14). A search
// for any state does not find resources that an unfinished cascade may hide. No export runs
// meanwhile.
func (b *builder) state(t fhir.Type, s bound.State) []Node {
	anyState := bound.State{}
	switch {
	case b.q.Visibility.Found == anyState && b.q.Visibility.Followed == anyState:
		return nil
	case s == anyState:
		return []Node{Visible{}}
	case t == fhir.Provenance:
		about := AllVisible{Param: b.set.Target.ID, Types: b.set.Target.Targets(), Visible: Visible(s)}
		return []Node{Visible{NotSuppressed: s.NotSuppressed}, about}
	}
	return []Node{Visible(s)}
}

// aboutReached plans that a Provenance is about no type that the client does not reach. An
// identifier says nothing about the type of what it identifies, nor does a reference that leads to
// no type of the directory, so a target that has one hides the Provenance from a client that does
// not reach all types.
func (b *builder) aboutReached() []Node {
	var others Or
	for _, t := range b.set.Target.Targets() {
		if b.q.Visibility.Unreached.Has(t) {
			others = append(others, Reference{Param: b.set.Target.ID, Type: t.String()})
		}
	}
	if len(others) == 0 {
		return nil
	}
	return []Node{Not{Node: append(others, Present{Param: b.set.Target.ID, Kind: index.Token})}}
}
