package plan

import (
	"fmt"
	"slices"

	"muster/internal/conformance"
	"muster/internal/fhir"
	"muster/internal/search/bound"
	"muster/internal/search/index"
	"muster/internal/search/query"
)

// criterion plans the comparison of a parameter of type t with values.
func (b *builder) criterion(t fhir.Type, l bound.Criterion) Node {
	p, ok := l.Param(t)
	if !ok || !b.count(weight(p)*len(l.Values), l.At) {
		return nil
	}
	switch {
	case p.Column && p.Code == "_id":
		return b.ids(l.Criterion)
	case l.Modifier == "missing":
		return b.missing(p, l.Criterion)
	}
	node := b.anyOf(p, l.Criterion, b.reader(p, l))
	if l.Modifier == "not" && node != nil {
		return Not{Node: node} // also of resources without a value (R4)
	}
	return node
}

// anyOf joins the values of a criterion by Or.
func (b *builder) anyOf(p conformance.Param, l query.Criterion, read reader) Node {
	var nodes Or
	for _, v := range l.Values {
		node, problem := read(p, v)
		if problem != "" {
			b.refuse(v.At, fmt.Sprintf("is not a valid value for %s: %s", l.Name, problem))
			continue
		}
		nodes = append(nodes, node)
	}
	if len(nodes) == 1 {
		return nodes[0]
	}
	return nodes
}

// reader reads one value of a parameter into a node. If the value is invalid, the text says
// what to write instead.
type reader func(conformance.Param, query.Value) (Node, string)

// reader returns the reader of a parameter's values by its type and the modifier. It is the
// only place that depends on all parameter types: a new parameter of a known type needs no
// code.
func (b *builder) reader(p conformance.Param, l bound.Criterion) reader {
	switch modifier := l.Modifier; p.Type {
	case conformance.Token:
		if modifier == "contains" {
			return b.tokenPart(l)
		}
		return b.tokens(l) // always compared exactly
	case conformance.String:
		switch modifier {
		case "exact":
			return b.exact
		case "contains":
			return b.contains
		}
		return b.text
	case conformance.Date:
		return b.date
	case conformance.Reference:
		switch modifier {
		case "":
			return b.reference
		case "identifier":
			return b.tokens(l)
		}
		return b.typed(modifier)
	case conformance.URI:
		return b.uri
	case conformance.Number:
		return b.number
	default: // conformance.Special
		return b.near
	}
}

// missing plans the modifier :missing.
func (b *builder) missing(p conformance.Param, l query.Criterion) Node {
	if len(l.Values) != 1 || len(l.Values[0].Parts) != 1 || !slices.Contains([]string{"true", "false"}, l.Values[0].Parts[0]) {
		return b.refuse(l.At, "asks whether the element is missing: write true or false")
	}
	missing := l.Values[0].Parts[0] == "true"
	present := Node(Present{Param: p.ID, Kind: kinds[p.Type]})
	switch {
	case p.Marker != 0:
		present = Present{Param: p.Marker, Kind: index.Token}
		if p.Marks == conformance.MarksAbsent {
			missing = !missing
		}
	case p.Type == conformance.Reference:
		present = Or{present, Present{Param: p.ID, Kind: index.Token}} // a reference may have an identifier only
	}
	if missing {
		return Not{Node: present}
	}
	return present
}

var kinds = map[conformance.ParamType]index.Kind{
	conformance.Token: index.Token, conformance.String: index.String, conformance.Date: index.Date,
	conformance.Reference: index.Reference, conformance.URI: index.URI, conformance.Number: index.Number,
	conformance.Special: index.Location,
}

// weight returns how many conditions a value of the parameter counts as: a circle becomes
// several ranges, a family name is compared as a whole and by its parts.
func weight(p conformance.Param) int {
	switch {
	case p.Type == conformance.Special:
		return 10
	case p.Parts != 0:
		return 2
	}
	return 1
}
