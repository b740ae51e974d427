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
		id := strings.Join(v.Parts, "|")
		if !fhir.ValidID(id) {
			b.refuse(v.At, "is not a valid value for _id: an id has 1 to 64 letters, digits, '-' and '.'")
			continue
		}
		ids = append(ids, id)
	}
	return ids
}

// token reads code, system|code, system| and |code (SR-05, SR-42).
func (b *builder) token(p conformance.Param, v query.Value) (Node, string) {
	var t Token
	switch len(v.Parts) {
	case 1:
		code := index.Spell(p, v.Parts[0])
		t = Token{Param: p.ID, Code: &code}
	case 2:
		system := index.System(v.Parts[0])
		t = Token{Param: p.ID, System: &system}
		if v.Parts[1] != "" {
			code := index.Spell(p, v.Parts[1])
			t.Code = &code
		}
	default:
		return nil, `write system|code with one bar; a bar within a code is written \|`
	}
	// active is a boolean: another value is a mistake, not a search without matches.
	// suppressed also has codes, and status has codes of its own.
	if p.Code == "active" && (t.Code == nil || *t.Code != "true" && *t.Code != "false") {
		return nil, "write true or false"
	}
	return t, ""
}

// text reads the start of a string, folded as in the index (SR-04).
func (b *builder) text(p conformance.Param, v query.Value) (Node, string) {
	folded := index.Fold(strings.Join(v.Parts, "|"))
	if folded == "" {
		return nil, "it has no letter to search by"
	}
	return String{Param: p.ID, Text: folded}, ""
}

// exact reads a string that is compared exactly (:exact).
func (b *builder) exact(p conformance.Param, v query.Value) (Node, string) {
	if _, problem := b.text(p, v); problem != "" {
		return nil, problem
	}
	return String{Param: p.ID, Text: strings.Join(v.Parts, "|"), Exact: true}, ""
}

// contains reads a string that may be anywhere in the text (:contains).
func (b *builder) contains(p conformance.Param, v query.Value) (Node, string) {
	n, problem := b.text(p, v)
	if problem != "" {
		return nil, problem
	}
	s := n.(String)
	s.Contains = true
	return s, ""
}

// tokenPart reads a part of a code, with or without a system (identifier-r5:contains).
func (b *builder) tokenPart(p conformance.Param, v query.Value) (Node, string) {
	n, problem := b.token(p, v)
	if problem != "" {
		return nil, problem
	}
	t := n.(Token)
	if t.Code == nil || index.Fold(*t.Code) == "" {
		return nil, "it has no letter or digit to search by"
	}
	return TokenPart{Param: p.ID, System: t.System, Text: *t.Code}, ""
}

// typed reads a reference to one type (organization:Organization=).
func (b *builder) typed(target string) reader {
	return func(p conformance.Param, v query.Value) (Node, string) {
		p.Target = []string{target}
		return b.reference(p, v)
	}
}

// reference reads id, Type/id or an absolute URL into the directory.
func (b *builder) reference(p conformance.Param, v query.Value) (Node, string) {
	text := strings.Join(v.Parts, "|")
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
	return URI{Param: p.ID, Value: index.Spell(p, strings.Join(v.Parts, "|"))}, ""
}
