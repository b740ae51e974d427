package searchtest

import (
	"fmt"
	"slices"
	"strings"

	"muster/internal/fhir"
	"muster/internal/search/query"
)

// validate returns an error if a criterion must be refused: if none of the types has the
// parameter, if the parameter is restricted, or if the modifier or a value is invalid.
func (e *evaluation) validate(types []fhir.Type, p query.Param) error {
	switch p := p.(type) {
	case query.Criterion:
		return e.validateCriterion(types, p)
	case query.Chain:
		var next []fhir.Type
		for _, t := range types {
			ref, _, _ := lookUpParameter(t, p.Ref)
			for _, to := range ref.targets {
				if p.Type == "" || p.Type == to.String() {
					next = append(next, to)
				}
			}
		}
		if len(next) == 0 {
			return fmt.Errorf("%s is not a reference of %v to a type of the directory", p.Ref, types)
		}
		return e.validate(next, p.Next)
	case query.Has:
		from, ok := fhir.ParseType(p.Type)
		ref, _, _ := lookUpParameter(from, p.Ref)
		if !ok || !slices.ContainsFunc(types, func(t fhir.Type) bool { return ref.pointsTo(t.String()) }) {
			return fmt.Errorf("%s of %s does not refer to %v", p.Ref, p.Type, types)
		}
		return e.validate([]fhir.Type{from}, p.Next)
	}
	return nil
}

func (e *evaluation) validateCriterion(types []fhir.Type, l query.Criterion) error {
	found := false
	stated := make([]bool, len(l.Values)) // values whose system one of the types has
	for _, t := range types {
		if err := refuseRestricted(t, l); err != nil {
			return err
		}
		p, code, ok := lookUpParameter(t, l.Name)
		if !ok {
			continue
		}
		found = true
		l := l
		l.Name = code
		if err := e.validateValues(p, l); err != nil {
			return err
		}
		for n, v := range l.Values {
			stated[n] = stated[n] || p.kind != token || l.Modifier == "missing" || len(v.Parts) != 2 || p.knowsSystem(v.Parts[0])
		}
	}
	if !found {
		return fmt.Errorf("%s is not a parameter of %v", l.Name, types)
	}
	if slices.Contains(stated, false) {
		return fmt.Errorf("%s states a system that its elements do not have (SR-47)", l.Name)
	}
	return nil
}

func refuseRestricted(t fhir.Type, l query.Criterion) error {
	if t == fhir.PractitionerRole && l.Name == "gender-identity" {
		return fmt.Errorf("gender-identity is restricted (SR-30)")
	}
	if t == fhir.Practitioner && slices.Contains(restricted, l.Name) {
		return fmt.Errorf("%s is restricted (SR-30)", l.Name)
	}
	identifies := t == fhir.Practitioner && strings.HasPrefix(l.Name, "identifier")
	if l.Modifier == "identifier" { // the target may be a Practitioner
		identifies = t == fhir.PractitionerRole && l.Name == "practitioner" || t == fhir.Provenance && l.Name != "location"
	}
	for _, v := range l.Values {
		if identifies && len(v.Parts) > 1 && v.Parts[0] == "http://ns.electronichealth.net.au/id/medicare-prescriber-number" {
			return fmt.Errorf("prescriber numbers are restricted (SR-30, SR-33)")
		}
	}
	return nil
}

func (e *evaluation) validateValues(p parameter, l query.Criterion) error {
	if !slices.Contains(p.modifiers(), l.Modifier) {
		return fmt.Errorf("%s does not support :%s", l.Name, l.Modifier)
	}
	for _, v := range l.Values {
		if strings.TrimSpace(strings.Join(v.Parts, "")) == "" {
			return fmt.Errorf("%s has an empty value", l.Name)
		}
		if l.Modifier == "missing" {
			if len(v.Parts) != 1 || v.Parts[0] != "true" && v.Parts[0] != "false" {
				return fmt.Errorf("the value of :missing must be true or false")
			}
			continue
		}
		if _, err := e.predicate(p, l, v); err != nil {
			return err
		}
	}
	return nil
}

// modifiers lists the modifiers that a parameter supports, beginning with the empty
// string for no modifier (SR-40, SR-41, SR-46).
func (p parameter) modifiers() []string {
	list := []string{""}
	if p.noModifiers {
		return list
	}
	list = append(list, "missing")
	switch p.kind {
	case token:
		list = append(list, "not")
		if p.contains {
			list = append(list, "contains", "exact")
		}
	case str:
		list = append(list, "contains")
		if !p.noExact {
			list = append(list, "exact")
		}
	case reference:
		list = append(list, "identifier")
		for _, t := range p.targets {
			list = append(list, t.String())
		}
	}
	return list
}

// lookUpParameter returns a parameter of a type by its code or alias, and its code.
func lookUpParameter(t fhir.Type, name string) (parameter, string, bool) {
	if code, ok := aliases[t][name]; ok {
		name = code
	}
	p, ok := parametersByType[t][name]
	return p, name, ok
}

// resolveAgentWho replaces agent.who by agent: it looks like a chain, but is an alias of
// the parameter agent.
func resolveAgentWho(p query.Param) query.Param {
	switch p := p.(type) {
	case query.Chain:
		if l, ok := p.Next.(query.Criterion); ok && p.Ref == "agent" && p.Type == "" && l.Name == "who" {
			l.Name = "agent"
			return l
		}
		p.Next = resolveAgentWho(p.Next)
		return p
	case query.Has:
		p.Next = resolveAgentWho(p.Next)
		return p
	}
	return p
}
