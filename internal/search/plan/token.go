package plan

import (
	"regexp"
	"slices"
	"strings"

	"muster/internal/conformance"
	"muster/internal/humanize"
	"muster/internal/search/bound"
	"muster/internal/search/index"
	"muster/internal/search/query"
)

// tokens returns the reader of tokens: code, system|code, system| and |code (SR-05, SR-42).
// Codes and booleans imply a system, which a query may state (SR-47). Where the criterion
// applies to several types, the system of one of them finds nothing in the others.
func (b *builder) tokens(l bound.Criterion) reader {
	return func(p conformance.Param, v query.Value) (Node, string) {
		if len(v.Parts) > 2 {
			return nil, `write system|code with one bar; a bar within a code is written \|`
		}
		code := spelled(p, v.Parts[len(v.Parts)-1])
		if problem := codeProblem(p, code); problem != "" {
			return nil, problem
		}
		t := Token{Param: p.ID}
		if code != "" || len(v.Parts) == 1 {
			t.Code = &code
		}
		sets := p.Values
		if len(v.Parts) == 2 {
			system := index.System(v.Parts[0])
			switch {
			case !takesSystem(p, system):
				if !slices.ContainsFunc(l.Params, func(other conformance.Param) bool { return takesSystem(other, system) }) {
					return nil, systemProblem(l.Params)
				}
				return Or{}, ""
			case len(sets) > 0:
				sets = setsOf(sets, system)
				if system != "" && !sets[0].Stated {
					system = ""
				}
			}
			t.System = &system
		}
		if code != "" && !mayHave(sets, code) {
			return nil, "write " + humanize.List(codesOf(sets), "or")
		}
		return t, ""
	}
}

// lostDial matches a phone number whose plus sign the URL has turned into a space.
var lostDial = regexp.MustCompile(`^ [0-9]`)

// spelled returns a code as entries hold it.
func spelled(p conformance.Param, code string) string {
	if p.Element == "ContactPoint" && lostDial.MatchString(code) {
		return "+" + code[1:]
	}
	return index.Spell(p, code)
}

// withoutSystem are the data types of elements that have no system at all: the system of a
// ContactPoint is not that of a token.
var withoutSystem = []string{"ContactPoint", "string", "uri", "id"}

// takesSystem reports whether a query of the parameter may state the system. The empty system
// stands for an element that states none.
func takesSystem(p conformance.Param, system string) bool {
	switch {
	case slices.Contains(withoutSystem, p.Element):
		return false
	case len(p.Values) == 0:
		return true
	}
	return len(setsOf(p.Values, system)) > 0
}

// setsOf returns the value sets whose elements have the system, or state none if the system is
// empty.
func setsOf(sets []conformance.ValueSet, system string) []conformance.ValueSet {
	return slices.DeleteFunc(slices.Clone(sets), func(s conformance.ValueSet) bool {
		if system == "" {
			return s.Stated
		}
		return !slices.ContainsFunc(s.Systems, func(name string) bool { return index.System(name) == system })
	})
}

// systemProblem says which system the parameters have instead.
func systemProblem(params []conformance.Param) string {
	var systems []string
	for _, p := range params {
		for _, s := range p.Values {
			if !slices.Contains(systems, s.Systems[0]) {
				systems = append(systems, s.Systems[0])
			}
		}
	}
	if len(systems) == 0 {
		return `its values have no system: write the value alone; a bar within it is written \|`
	}
	return "the system of its codes is " + humanize.List(systems, "or") + ": write " + systems[0] + "|code, or the code alone"
}

// mayHave reports whether an element of the value sets may have the code. A set that is not
// closed has every code, since a directory may hold others than R4 lists.
func mayHave(sets []conformance.ValueSet, code string) bool {
	return len(sets) == 0 || slices.ContainsFunc(sets, func(s conformance.ValueSet) bool { return !s.Closed || slices.Contains(s.Codes, code) })
}

func codesOf(sets []conformance.ValueSet) []string {
	var codes []string
	for _, s := range sets {
		codes = append(codes, s.Codes...)
	}
	return codes
}

// plusInNumber matches a phone number with a plus sign between two digits.
var plusInNumber = regexp.MustCompile(`^[-0-9+(). ]*[0-9]\+[0-9][-0-9+(). ]*$`)

// codeProblem refuses plus signs and spaces that no element of the parameter can have, most
// of them spaces that were written as in HTML forms (KO-35). In other tokens both are
// themselves.
func codeProblem(p conformance.Param, code string) string {
	listed := codesOf(p.Values)
	switch {
	case p.Element == "ContactPoint" && plusInNumber.MatchString(code):
		return "a phone number has a plus sign before the country code only, and a plus sign is not a space here: write %20 for a space"
	case len(listed) > 0 && strings.ContainsAny(code, "+ ") && !slices.Contains(listed, code):
		return "no code has a plus sign or a space, and a plus sign is not a space here: write " + humanize.List(listed, "or")
	}
	return ""
}

// tokenPart reads a part of a code, with or without a system (identifier-r5:contains). It
// compares as strings do.
func (b *builder) tokenPart(l bound.Criterion) reader {
	return func(p conformance.Param, v query.Value) (Node, string) {
		n, problem := b.tokens(l)(p, v)
		if problem != "" {
			return nil, problem
		}
		t, ok := n.(Token)
		if !ok || t.Code == nil || index.Fold(*t.Code) == "" {
			return nil, "it has no letter or digit to search by"
		}
		return TokenPart{Param: p.ID, System: t.System, Text: *t.Code}, ""
	}
}
