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

// TestEveryClaimIsInAScript: each parameter of each type, with each modifier and prefix
// that the registry claims, under each of its names, and each include has a search that
// is answered. A restricted parameter has one that is refused.
func TestEveryClaimIsInAScript(t *testing.T) {
	t.Attr("requirements", "CS-04 SR-40 SR-46 TR-02 TR-04")
	reg, err := conformance.Load()
	if err != nil {
		t.Fatal(err)
	}
	asked := map[string]bool{}
	for _, s := range scripts(t) {
		for _, q := range s.searches {
			note(asked, reg, q)
		}
	}
	var missing []string
	for _, want := range claims(reg) {
		if !asked[want] {
			missing = append(missing, want)
		}
	}
	if len(missing) > 0 {
		t.Errorf("no script asks for\n  %s", strings.Join(missing, "\n  "))
	}
}

// prefixes are those of a parameter type.
var prefixes = map[conformance.ParamType][]string{
	conformance.Date:   {"eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap"},
	conformance.Number: {"eq", "ne", "gt", "lt", "ge", "le"},
}

// claims lists what the registry says can be asked, each in the form of [note].
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

// note records what one search asks for.
func note(asked map[string]bool, reg *conformance.Registry, s question) {
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
				asked[typeName+"?"+name+"="+value] = true
			}
			continue
		}
		if plain(typeName + "?" + p) {
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
			noteLeaf(asked, reg, t, p, s.refused)
		case query.Chain: // agent.who reads like a chain
			if l, ok := p.Next.(query.Criterion); ok {
				asked[typeName+"?"+p.Ref+"."+l.Name] = true
			}
		}
	}
}

func noteLeaf(asked map[string]bool, reg *conformance.Registry, t fhir.Type, l query.Criterion, refused string) {
	p, ok := reg.Param(t, l.Name)
	if !ok {
		return
	}
	if refused != "" {
		asked[t.String()+"?"+p.Code+" refused"] = true
		return
	}
	asked[t.String()+"?"+l.Name] = true
	name := t.String() + "?" + p.Code
	asked[name] = true
	if l.Modifier != "" {
		asked[name+":"+l.Modifier] = true
		return
	}
	for _, v := range l.Values {
		if prefix := v.Parts[0][:min(2, len(v.Parts[0]))]; slices.Contains(prefixes[p.Type], prefix) {
			asked[name+"="+prefix] = true
		}
	}
}

// TestEvaluatorKnowsWhatTheRegistryClaims: nothing can be searched for without a second
// opinion, and the two agree on types, modifiers and other names.
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
