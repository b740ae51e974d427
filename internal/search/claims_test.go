package search

import (
	"slices"
	"testing"

	"muster/internal/conformance"
	"muster/internal/fhir"
)

// TestClaimsAndBehaviour asks for every parameter under every name with every
// modifier and prefix: what the registry lists, and so the CapabilityStatement and
// docs/search.md, is accepted, and nothing else is.
func TestClaimsAndBehaviour(t *testing.T) {
	t.Attr("requirements", "SR-23 SR-40 SR-41 SR-43 SR-44 SR-46 CS-04")
	c := compiler(t)
	modifiers := []string{"missing", "not", "exact", "contains", "identifier", "text", "above", "below", "in", "not-in", "of-type", "wibble", "Patient"}
	for _, t := range fhir.Types() {
		modifiers = append(modifiers, t.String())
	}
	asked := 0
	for _, typ := range fhir.Types() {
		for _, p := range c.reg.Params(typ) {
			for _, name := range append(c.reg.Aliases(typ, p.Code), p.Code) {
				for _, m := range modifiers {
					text := typ.String() + "?_lastUpdated=ge1900&" + name + ":" + m + "=" + sample(p, m)
					if _, err := c.ExportFilter(text, full); (err == nil) != p.Takes(m) {
						t.Errorf("%s: claimed %v, answered %v", text, p.Takes(m), err)
					}
					asked++
				}
				for _, prefix := range []string{"", "eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap", "xx"} {
					if p.Type != conformance.Date && p.Type != conformance.Number {
						break // other types take the letters as part of the value
					}
					text := typ.String() + "?_lastUpdated=ge1900&" + name + "=" + prefix + sample(p, "")
					if _, err := c.ExportFilter(text, full); (err == nil) != (prefix == "" || slices.Contains(p.Prefixes(), prefix)) {
						t.Errorf("%s: claimed %v, answered %v", text, p.Prefixes(), err)
					}
					asked++
				}
			}
		}
	}
	if asked < 2000 {
		t.Errorf("only %d questions were asked", asked)
	}
}

// sample is a sound value for a parameter with a modifier.
func sample(p conformance.Param, modifier string) string {
	switch {
	case modifier == "missing":
		return "true"
	case p.Element == "boolean":
		return "true"
	case modifier == "identifier":
		return "http://x|1"
	}
	switch p.Type {
	case conformance.Date:
		return "2026"
	case conformance.Number:
		return "0830"
	case conformance.Special:
		return "-33.8|151.2|1"
	}
	return "a"
}

// TestIncludesLeadSomewhere: every include that is claimed can be asked for, and
// follows a reference that a chain could follow as well.
func TestIncludesLeadSomewhere(t *testing.T) {
	t.Attr("requirements", "TR-01 TR-05")
	c := compiler(t)
	for _, typ := range fhir.Types() {
		for _, i := range append(c.reg.Includes(typ), c.reg.RevIncludes(typ)...) {
			for _, name := range append(c.reg.Aliases(i.Source, i.Param.Code), i.Param.Code) {
				again, err := c.reg.ParseInclude(i.Source.String() + ":" + name)
				if err != nil || again.Param.ID != i.Param.ID {
					t.Errorf("%s:%s is read as %v, %v", i.Source, name, again, err)
				}
				text := i.Source.String() + "?" + name + "._id=a"
				if _, err := c.ExportFilter(text, full); err != nil {
					t.Errorf("%s: %v", text, err)
				}
			}
		}
	}
}
