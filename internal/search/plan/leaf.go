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
	node := b.anyOf(p, l.Criterion, b.reader(p, l.Modifier))
	if l.Modifier == "not" && node != nil {
		return Not{Node: node} // also of resources without a value (R4)
	}
	return node
}

// anyOf joins the values of a parameter by OR.
func (b *builder) anyOf(p conformance.Param, l query.Criterion, read reader) Node {
	var nodes Or
	for _, v := range l.Values {
		node, problem := read(p, v)
		if problem != "" {
			b.refuse(v.At, fmt.Sprintf("is no value for %s: %s", l.Name, problem))
			continue
		}
		nodes = append(nodes, node)
	}
	if len(nodes) == 1 {
		return nodes[0]
	}
	return nodes
}

// reader reads one value of a parameter. The text that it returns says what is
// wrong with it, empty if nothing is.
type reader func(conformance.Param, query.Value) (Node, string)

// reader is how values of a parameter are read: the one place that knows all
// parameter types and what modifiers make of them. A new parameter of a known type
// is data only.
func (b *builder) reader(p conformance.Param, modifier string) reader {
	switch p.Type {
	case conformance.Token:
		if modifier == "contains" {
			return b.tokenPart
		}
		return b.token // exact is what tokens are anyway
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
			return b.token
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

// missing plans whether the element is there at all.
func (b *builder) missing(p conformance.Param, l query.Criterion) Node {
	if len(l.Values) != 1 || len(l.Values[0].Parts) != 1 || !slices.Contains([]string{"true", "false"}, l.Values[0].Parts[0]) {
		return b.refuse(l.At, "asks whether the element is missing: write true or false")
	}
	missing := l.Values[0].Parts[0] == "true"
	there := Node(Present{Param: p.ID, Kind: kinds[p.Type]})
	switch {
	case p.Marker != 0:
		there = Present{Param: p.Marker, Kind: index.Token}
		if p.Marks == conformance.MarksAbsent {
			missing = !missing
		}
	case p.Type == conformance.Reference:
		there = Or{there, Present{Param: p.ID, Kind: index.Token}} // a reference may name an identifier only
	}
	if missing {
		return Not{Node: there}
	}
	return there
}

var kinds = map[conformance.ParamType]index.Kind{
	conformance.Token: index.Token, conformance.String: index.String, conformance.Date: index.Date,
	conformance.Reference: index.Reference, conformance.URI: index.URI, conformance.Number: index.Number,
	conformance.Special: index.Location,
}

// weight is how many conditions a value of the parameter counts for: a circle is
// made of several ranges.
func weight(p conformance.Param) int {
	if p.Type == conformance.Special {
		return 10
	}
	return 1
}
