package load

import (
	"fmt"
	"sync"

	"muster/internal/conformance"
	"muster/internal/fhir"
	"muster/internal/policy"
	"muster/internal/search/index"
	"muster/internal/store"

	"github.com/valyala/fastjson"
)

// Rules implements [store.Rules] by the rules of package policy. It is safe for use by several
// goroutines.
type Rules struct {
	relations []store.Relation
	composers sync.Pool
}

// NewRules returns the rules of a directory. The extractor must be that of its loads.
func NewRules(registry *conformance.Registry, extractor *index.Extractor) (*Rules, error) {
	states := extractor.Naming(policy.StateElements)
	r := &Rules{composers: sync.Pool{New: func() any { return &composer{writer: writer{extractor: extractor}, states: states} }}}
	for _, list := range []struct {
		kind      store.RelationKind
		relations []policy.Relation
	}{{store.BelongsTo, policy.Belongs}, {store.Uses, policy.Uses}, {store.IsAbout, policy.About}} {
		for _, relation := range list.relations {
			p, ok := registry.Param(relation.From, relation.Param)
			if !ok {
				return nil, fmt.Errorf("the search parameter %v.%s is not defined", relation.From, relation.Param)
			}
			r.relations = append(r.relations, store.Relation{Kind: list.kind, From: relation.From, Param: p.ID, To: relation.To})
		}
	}
	return r, nil
}

// RulesFor returns the function that a store calls to get the rules of its directory (see
// [store.Options]).
func RulesFor(registry *conformance.Registry) func(store.Identity) (store.Rules, error) {
	return func(id store.Identity) (store.Rules, error) {
		extractor, err := index.NewExtractor(registry, id.Addresses()...)
		if err != nil {
			return nil, err
		}
		return NewRules(registry, extractor)
	}
}

// Relations implements [store.Rules].
func (r *Rules) Relations() []store.Relation { return r.relations }

// Inherit implements [store.Rules].
func (r *Rules) Inherit(owners []store.Owner, users []index.Visibility) index.Visibility {
	list := make([]policy.Owner, len(owners))
	for i, owner := range owners {
		list[i] = policy.Owner(owner)
	}
	return policy.Inherit(list, users)
}

// Compose implements [store.Rules].
func (r *Rules) Compose(t fhir.Type, id string, own store.Document, inherited index.Visibility) (store.Document, []index.Entry, error) {
	c := r.composers.Get().(*composer)
	defer r.composers.Put(c)
	return c.compose(t, id, own, inherited)
}

// Recompose implements [store.Rules].
func (r *Rules) Recompose(t fhir.Type, id string, own store.Document, before, after index.Visibility) (store.Document, index.Difference, error) {
	c := r.composers.Get().(*composer)
	defer r.composers.Put(c)
	return c.recompose(t, id, own, before, after)
}

// composer writes what resources inherit. It reuses its buffers, so it serves one goroutine.
type composer struct {
	writer
	states      *index.Extractor // of the entries that depend on what a resource inherits
	parser      fastjson.Parser
	arena       fastjson.Arena
	before, now []index.Entry
}

func (c *composer) compose(t fhir.Type, id string, own store.Document, inherited index.Visibility) (store.Document, []index.Entry, error) {
	v, err := c.parse(own)
	if err != nil {
		return own, nil, err
	}
	shown := c.show(t, id, own, v, inherited)
	return shown, c.extract(t, v), nil
}

func (c *composer) recompose(t fhir.Type, id string, own store.Document, before, after index.Visibility) (store.Document, index.Difference, error) {
	v, err := c.parse(own)
	if err != nil {
		return own, index.Difference{}, err
	}
	shown := own
	if after == 0 { // the other form is made from the same tree
		c.now = c.states.Extract(c.now[:0], t, v)
	}
	policy.WithInherited(&c.arena, t, v, before)
	c.before = c.states.Extract(c.before[:0], t, v)
	if after != 0 {
		if before != 0 {
			if v, err = c.parse(own); err != nil {
				return own, index.Difference{}, err
			}
		}
		shown = c.show(t, id, own, v, after)
		c.now = c.states.Extract(c.now[:0], t, v)
	}
	return shown, index.Compare(c.before, c.now), nil
}

// parse returns the tree of a document. It is valid until the next call.
func (c *composer) parse(own store.Document) (*fastjson.Value, error) {
	v, err := c.parser.ParseBytes(own.Line(1, 0))
	if err != nil {
		return nil, fmt.Errorf("the stored line is damaged: run 'muster check': %w", err)
	}
	c.arena.Reset()
	dropVersion(v)
	return v, nil
}

// show changes the tree of an own document so that it shows what the resource inherits, and returns
// its document.
func (c *composer) show(t fhir.Type, id string, own store.Document, v *fastjson.Value, inherited index.Visibility) (shown store.Document) {
	if inherited == 0 {
		return own // its bytes stay, also if an older program wrote them in another way
	}
	policy.WithInherited(&c.arena, t, v, inherited)
	c.scratch, shown = document(c.scratch, t, id, v)
	return shown
}
