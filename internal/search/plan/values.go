package plan

import (
	"fmt"
	"slices"
	"strings"

	"muster/internal/conformance"
	"muster/internal/fhir"
	"muster/internal/search/index"
	"muster/internal/search/query"
)

// The functions below are readers of one value each.

// ids plans _id, with all values in one node.
func (b *builder) ids(l query.Criterion) Node {
	var ids IDs
	for _, v := range l.Values {
		id := whole(v)
		if !fhir.ValidID(id) {
			b.refuse(v.At, "is not a valid value for _id: an id has 1 to 64 letters, digits, '-' and '.'")
			continue
		}
		ids = append(ids, id)
	}
	return ids
}

// text reads the start of a string, folded as in the index (SR-04). A family name is also
// found by the start of a part of it (SR-48).
func (b *builder) text(p conformance.Param, v query.Value) (Node, string) {
	folded := index.Fold(whole(v))
	if folded == "" {
		return nil, nothingToSearchBy
	}
	start := String{Param: p.ID, Text: folded}
	if p.Parts == 0 {
		return start, ""
	}
	return Or{start, String{Param: p.Parts, Text: folded}}, ""
}

// nothingToSearchBy describes a string that folds to nothing.
const nothingToSearchBy = "it has no letter to search by: punctuation alone is found with :exact"

// exact reads a string that is compared as it is stored (:exact).
func (b *builder) exact(p conformance.Param, v query.Value) (Node, string) {
	return String{Param: p.ID, Text: whole(v), Exact: true}, ""
}

// contains reads a string that may be anywhere in the text (:contains).
func (b *builder) contains(p conformance.Param, v query.Value) (Node, string) {
	folded := index.Fold(whole(v))
	if folded == "" {
		return nil, nothingToSearchBy
	}
	return String{Param: p.ID, Text: folded, Contains: true}, ""
}

// whole returns a value with the bars that have no meaning in its type.
func whole(v query.Value) string { return strings.Join(v.Parts, "|") }

// typed reads a reference to one type (organization:Organization=).
func (b *builder) typed(target string) reader {
	return func(p conformance.Param, v query.Value) (Node, string) {
		p.Target = []string{target}
		return b.reference(p, v)
	}
}

// reference reads id, Type/id or an absolute URL into the directory.
func (b *builder) reference(p conformance.Param, v query.Value) (Node, string) {
	text := whole(v)
	if fhir.ValidID(text) {
		r := Reference{Param: p.ID, ID: text}
		if len(p.Target) == 1 {
			r.Type = p.Target[0]
		}
		return r, ""
	}
	r, err := fhir.ParseReference(text, b.set.Bases...)
	if err != nil {
		return nil, "write an id, Type/id or an absolute URL of this directory"
	}
	if !slices.Contains(p.Target, r.Type) {
		return nil, fmt.Sprintf("it points to %s only", strings.Join(p.Target, ", "))
	}
	return Reference{Param: p.ID, Type: r.Type, ID: r.ID}, ""
}

// uri reads a uri. It is compared exactly, in the spelling of the index.
func (b *builder) uri(p conformance.Param, v query.Value) (Node, string) {
	return URI{Param: p.ID, Value: index.Spell(p, whole(v))}, ""
}
