package policy

import (
	"slices"
	"strings"
	"testing"

	"muster/internal/conformance"
	"muster/internal/fhir"
	"muster/internal/search/bound"
	"muster/internal/search/query"
)

// TestSuppressedRules: who may learn of suppressed resources, and how much.
func TestSuppressedRules(t *testing.T) {
	for _, c := range []struct {
		rules         SuppressedRules
		authenticated bool
		asked, deltas bool
	}{
		{SuppressedRules{Search: true, Local: true}, false, true, true},
		{SuppressedRules{Search: true, Local: true}, true, true, true},
		{SuppressedRules{Search: true}, true, true, true},
		{SuppressedRules{Local: true}, false, false, true},
		{SuppressedRules{Local: true}, true, false, true},
		{SuppressedRules{}, true, false, true},
		{SuppressedRules{Search: true}, false, false, false},
		{SuppressedRules{}, false, false, false},
	} {
		may := c.rules.Allow(c.authenticated)
		if may.MayBeAskedFor() != c.asked || may.InDeltas() != c.deltas {
			t.Errorf("%+v, authenticated %v: asked for %v, in deltas %v", c.rules, c.authenticated, may.MayBeAskedFor(), may.InDeltas())
		}
	}
}

// forbidden returns the issues of a filter that the client may not ask.
func forbidden(reg *conformance.Registry, q query.Query, may Access) fhir.Issues {
	_, issues := CheckFilter(bound.Bind(reg, q), FilterRules{}, may)
	return slices.DeleteFunc(issues, func(i fhir.Issue) bool { return i.Code != fhir.CodeForbidden })
}

// TestSuppressedCheck: what asks for suppressed resources is refused with its place, in
// every form, and what does not is let pass.
func TestSuppressedCheck(t *testing.T) {
	t.Attr("req", "VI-07")
	reg := registry(t)
	for _, c := range []struct {
		text  string
		place []string // of each refusal
	}{
		{"Organization?name=a", nil},
		{"Organization?suppressed=false", nil},
		{"Organization?suppressed=false,false", nil},
		{"Organization?suppressed=&suppressed:not=", nil}, // asks for nothing
		{"Location?organization.suppressed=false", nil},
		{"Organization?_has:Location:organization:suppressed=false", nil},
		{"Organization?active=false&status=true", nil},
		{"Organization?suppressed=true", []string{`"suppressed" at character 14`}},
		{"Organization?name=a&suppressed=true&suppressed=false&suppressed=x", []string{`"suppressed" at character 21`, `"suppressed" at character 54`}},
		{"Organization?suppressed=false,true", []string{`"suppressed" at character 14`}},
		{"Organization?suppressed=http://x|false", []string{`"suppressed" at character 14`}},
		{"Organization?suppressed=|false", []string{`"suppressed" at character 14`}},
		{"Organization?suppressed=False", []string{`"suppressed" at character 14`}},
		{"Organization?suppressed=organisation-initiated", []string{`"suppressed" at character 14`}},
		{"Organization?suppressed:not=false", []string{`"suppressed:not" at character 14`}},
		{"Organization?suppressed:missing=true", []string{`"suppressed:missing" at character 14`}},
		{"Organization?suppressed:wibble=false", []string{`"suppressed:wibble" at character 14`}},
		{"Location?organization.suppressed=true", []string{`"suppressed" at character 23`}},
		{"Location?organization.partof:Organization.suppressed:not=false", []string{`"suppressed:not" at character 43`}},
		{"Organization?_has:Location:organization:suppressed=true", []string{`"suppressed" at character 41`}},
		{"Practitioner?_has:PractitionerRole:practitioner:organization.suppressed=true", []string{`"suppressed" at character 62`}},
		{"Provenance?target.suppressed=true", []string{`"suppressed" at character 19`}},
		{"Provenance?suppressed=true", []string{`"suppressed" at character 12`}},
		{"Location?nowhere.suppressed=true", []string{`"suppressed" at character 18`}},
		{"Organization?_has:Patient:organization:suppressed=true", []string{`"suppressed" at character 40`}},
	} {
		q := read(t, c.text)
		for _, may := range []Suppressed{SuppressedHidden, SuppressedInDeltas} {
			var places []string
			for _, i := range forbidden(reg, q, Access{Types: fhir.AllTypes(), Suppressed: may}) {
				place, rest, _ := strings.Cut(i.Diagnostics, " asks for suppressed resources")
				places = append(places, place)
				if i.Code != fhir.CodeForbidden || !strings.Contains(rest, ": write suppressed=false, or leave the parameter out") {
					t.Errorf("%s: %s does not say what to do: %s", c.text, i.Code, i.Diagnostics)
				}
			}
			if !slices.Equal(places, c.place) {
				t.Errorf("%s: refused at %q, want %q", c.text, places, c.place)
			}
		}
		if issues := forbidden(reg, q, FullAccess()); len(issues) > 0 {
			t.Errorf("%s is refused to a client that may ask: %v", c.text, issues)
		}
	}
}

// TestSuppressedUnderOtherNames: the definitions decide which parameter is meant, so
// another name of it asks for suppressed resources as well.
func TestSuppressedUnderOtherNames(t *testing.T) {
	reg := registry(t)
	for _, typ := range fhir.Types() {
		for _, p := range reg.Params(typ) {
			for _, name := range append(reg.Aliases(typ, p.Code), p.Code) {
				if strings.Contains(name, ".") || p.Type != conformance.Token {
					continue
				}
				asks := len(forbidden(reg, read(t, typ.String()+"?"+name+"=true"), Access{Types: fhir.AllTypes()})) > 0
				if asks != (p.Code == suppressedParam) {
					t.Errorf("%s?%s: refused %v, but it is %s", typ, name, asks, p.Code)
				}
			}
		}
	}
}
