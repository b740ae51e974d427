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
	r := &Rules{composers: sync.Pool{New: func() any { return &composer{writer: writer{extractor: extractor}} }}}
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

// composer writes what resources inherit. It reuses its buffers, so it serves one goroutine.
type composer struct {
	writer
	parser fastjson.Parser
	arena  fastjson.Arena
}

func (c *composer) compose(t fhir.Type, id string, own store.Document, inherited index.Visibility) (store.Document, []index.Entry, error) {
	v, err := c.parser.ParseBytes(own.Line(1, 0))
	if err != nil {
		return own, nil, fmt.Errorf("the stored line is damaged: run 'muster check': %w", err)
	}
	c.arena.Reset()
	dropVersion(v)
	shown := own // its bytes stay, also if an older program wrote them in another way
	if inherited != 0 {
		policy.WithInherited(&c.arena, t, v, inherited)
		c.scratch, shown = document(c.scratch, t, id, v)
	}
	return shown, c.extract(t, v), nil
}
