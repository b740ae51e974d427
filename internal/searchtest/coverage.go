package searchtest

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"muster/internal/fhir"
	"muster/internal/search/query"
)

// Coverage counts the forms of the queries of a run. The zero value is empty.
type Coverage struct {
	Queries   int
	Refused   int            // queries that had to be refused
	Empty     int            // queries that found nothing
	Ambiguous int            // queries not compared: a position is near the edge of a circle
	Shapes    map[string]int // forms of criteria, such as "<- -> string:contains"
	MaxDepth  int            // steps of the longest chain
}

// Add counts a query with its answer.
func (m *Coverage) Add(q query.Query, a Answer, refused bool) {
	m.Queries++
	switch {
	case refused:
		m.Refused++
		return
	case a.Ambiguous:
		m.Ambiguous++
	case len(a.IDs) == 0:
		m.Empty++
	}
	if m.Shapes == nil {
		m.Shapes = map[string]int{}
	}
	for _, p := range q.Params {
		shape := shapeOf([]fhir.Type{q.Type}, resolveAgentWho(p))
		m.Shapes[shape]++
		m.MaxDepth = max(m.MaxDepth, strings.Count(shape, "-"))
	}
}

// shapeOf returns the form of a criterion without names: "->" for a chain, "-:>" for a
// typed chain and "<-" for a reverse chain, then parameter type, modifier or prefix, and a
// comma for alternatives.
func shapeOf(types []fhir.Type, p query.Param) string {
	switch p := p.(type) {
	case query.Chain:
		var next []fhir.Type
		for _, t := range types {
			ref, _, _ := lookUpParameter(t, p.Ref)
			next = append(next, ref.targets...)
		}
		arrow := "-> "
		if p.Type != "" {
			t, _ := fhir.ParseType(p.Type)
			next, arrow = []fhir.Type{t}, "-:> "
		}
		return arrow + shapeOf(next, p.Next)
	case query.Has:
		t, _ := fhir.ParseType(p.Type)
		return "<- " + shapeOf([]fhir.Type{t}, p.Next)
	case query.TypeTest:
		return "is"
	case query.Criterion:
		for _, t := range types {
			if of, _, ok := lookUpParameter(t, p.Name); ok {
				return of.shape(p)
			}
		}
	}
	return "?"
}

func (p parameter) shape(l query.Criterion) string {
	shape := string(p.kind)
	if p.role == "state" {
		shape = "state"
	}
	if l.Modifier != "" {
		shape += ":" + l.Modifier
	}
	first := l.Values[0].Parts[0]
	if (p.kind == date || p.kind == hhmm) && l.Modifier == "" && first != "" && first[0] >= 'a' {
		shape += " " + first[:2]
	}
	if len(l.Values) > 1 {
		shape += ","
	}
	return shape
}

// Gap returns what the coverage lacks, or an empty string if it is sufficient: most
// queries find something, chains are three steps deep in all directions, and every
// parameter type, modifier and prefix occurs.
func (m *Coverage) Gap() string {
	switch {
	case m.Empty*2 > m.Queries:
		return fmt.Sprintf("%d of %d answers are empty", m.Empty, m.Queries)
	case m.Refused*10 > m.Queries || m.Refused == 0:
		return fmt.Sprintf("%d of %d queries had to be refused", m.Refused, m.Queries)
	case m.MaxDepth < 3:
		return fmt.Sprintf("the longest chain has %d steps", m.MaxDepth)
	}
	ends := map[string]bool{}
	paths := map[string]bool{}
	for shape := range m.Shapes {
		words := strings.FieldsFunc(shape, func(r rune) bool { return r == ' ' || r == ',' })
		steps := ""
		for len(words) > 0 && strings.ContainsAny(words[0], "<>") {
			steps += words[0]
			words = words[1:]
		}
		paths[steps] = true
		ends[strings.Join(words, " ")] = true
	}
	for _, want := range []string{
		"token", "token:not", "token:missing", "token:contains", "token:exact", "string", "string:exact", "string:contains", "string:missing",
		"uri", "uri:missing", "reference", "reference:identifier", "reference:missing", "reference:Organization", "special", "special:missing",
		"date", "date eq", "date ne", "date gt", "date lt", "date ge", "date le", "date sa", "date eb", "date ap", "date:missing",
		"number", "number eq", "number ne", "number gt", "number lt", "number ge", "number le", "number:missing", "state", "state:not", "state:missing", "is",
	} {
		if !ends[want] {
			return fmt.Sprintf("no criterion has the form %q", want)
		}
	}
	for _, want := range []string{"", "->", "-:>", "<-", "->->", "-><-", "<-->", "<-<-", "->->->", "<-<-<-", "<-->->", "-><-->", "<-<-->"} {
		if !paths[want] {
			return fmt.Sprintf("no criterion has the chain %q", want)
		}
	}
	return ""
}

// String summarises the coverage in a few lines, with the most frequent forms.
func (m *Coverage) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d queries: %d refused, %d empty, %d ambiguous; %d forms of criteria, up to %d steps", m.Queries, m.Refused, m.Empty, m.Ambiguous, len(m.Shapes), m.MaxDepth)
	forms := slices.SortedFunc(maps.Keys(m.Shapes), func(a, b string) int {
		if m.Shapes[a] != m.Shapes[b] {
			return m.Shapes[b] - m.Shapes[a]
		}
		return strings.Compare(a, b)
	})
	for _, form := range forms[:min(10, len(forms))] {
		fmt.Fprintf(&b, "\n%6d  %s", m.Shapes[form], form)
	}
	return b.String()
}
