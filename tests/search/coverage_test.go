package search

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"muster/internal/conformance"
	"muster/internal/fhir"
	"muster/internal/search/query"
	"muster/internal/searchtest"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// TestEveryClaimIsInAScript checks that the scripts cover the registry. Each parameter of
// each type, with each modifier, prefix and alias, and each include must be in a search
// that is answered. Each restricted parameter must be in a search that is refused.
func TestEveryClaimIsInAScript(t *testing.T) {
	t.Attr("requirements", "CS-04 SR-40 SR-46 TR-02 TR-04")
	reg, err := conformance.Load()
	if err != nil {
		t.Fatal(err)
	}
	covered := map[string]bool{}
	for _, s := range scripts(t) {
		for _, q := range s.searches {
			addCovered(covered, reg, q)
		}
	}
	var missing []string
	for _, want := range claims(reg) {
		if !covered[want] {
			missing = append(missing, want)
		}
	}
	if len(missing) > 0 {
		t.Errorf("no script covers\n  %s", strings.Join(missing, "\n  "))
	}
}

// prefixes lists the prefixes of a parameter type.
var prefixes = map[conformance.ParamType][]string{
	conformance.Date:   {"eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap"},
	conformance.Number: {"eq", "ne", "gt", "lt", "ge", "le"},
}

// claims lists what the registry supports, in the form of [addCovered].
func claims(reg *conformance.Registry) []string {
	var list []string
	for _, t := range reg.Types() {
		for _, p := range reg.Params(t) {
			name := t.String() + "?" + p.Code
			if p.Restricted != "" {
				list = append(list, name+" refused")
				continue
			}
			list = append(list, name)
			for _, m := range p.Modifiers {
				list = append(list, name+":"+m)
			}
			for _, prefix := range prefixes[p.Type] {
				list = append(list, name+"="+prefix)
			}
			for _, alias := range reg.Aliases(t, p.Code) {
				list = append(list, t.String()+"?"+alias)
			}
		}
		for _, i := range reg.Includes(t) {
			list = append(list, fmt.Sprintf("%s?_include=%s", t, i))
		}
		for _, i := range reg.RevIncludes(t) {
			list = append(list, fmt.Sprintf("%s?_revinclude=%s", t, i))
		}
	}
	return list
}

// addCovered adds what one search covers.
func addCovered(covered map[string]bool, reg *conformance.Registry, s testCase) {
	typeName, params, _ := strings.Cut(s.query, "?")
	t, ok := fhir.ParseType(typeName)
	if !ok {
		return
	}
	var criteria []string
	for _, p := range strings.Split(params, "&") {
		name, value, _ := strings.Cut(p, "=")
		if name == "_include" || name == "_revinclude" {
			value, _ = url.QueryUnescape(value)
			if s.refused == "" {
				covered[typeName+"?"+name+"="+value] = true
			}
			continue
		}
		if onlyCriteria(typeName + "?" + p) {
			criteria = append(criteria, p)
		}
	}
	q, err := query.Parse(typeName + "?" + strings.Join(criteria, "&"))
	if err != nil {
		return
	}
	for _, p := range q.Params {
		switch p := p.(type) {
		case query.Criterion:
			addCriterion(covered, reg, t, p, s.refused)
		case query.Chain: // agent.who looks like a chain
			if l, ok := p.Next.(query.Criterion); ok {
				covered[typeName+"?"+p.Ref+"."+l.Name] = true
			}
		}
	}
}

func addCriterion(covered map[string]bool, reg *conformance.Registry, t fhir.Type, l query.Criterion, refused string) {
	p, ok := reg.Param(t, l.Name)
	if !ok {
		return
	}
	if refused != "" {
		covered[t.String()+"?"+p.Code+" refused"] = true
		return
	}
	covered[t.String()+"?"+l.Name] = true
	name := t.String() + "?" + p.Code
	covered[name] = true
	if l.Modifier != "" {
		covered[name+":"+l.Modifier] = true
		return
	}
	for _, v := range l.Values {
		if prefix := v.Parts[0][:min(2, len(v.Parts[0]))]; slices.Contains(prefixes[p.Type], prefix) {
			covered[name+"="+prefix] = true
		}
	}
}

// TestEvaluatorKnowsWhatTheRegistryClaims checks that the evaluator and the registry have
// the same parameters, types, modifiers and aliases.
func TestEvaluatorKnowsWhatTheRegistryClaims(t *testing.T) {
	reg, err := conformance.Load()
	if err != nil {
		t.Fatal(err)
	}
	for _, typ := range fhir.Types() {
		var claimed []searchtest.ParameterInfo
		for _, p := range reg.Params(typ) {
			if p.Restricted == "" {
				claimed = append(claimed, searchtest.ParameterInfo{Code: p.Code, Type: string(p.Type), Modifiers: p.Modifiers, Aliases: reg.Aliases(typ, p.Code)})
			}
		}
		if diff := cmp.Diff(searchtest.Parameters(typ), claimed, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s: -evaluator +registry:\n%s", typ, diff)
		}
	}
}
