package index_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"muster/internal/fhir"
	"muster/internal/fhirpath"

	"github.com/gofhir/fhirpath/types"
	"github.com/google/go-cmp/cmp"
	"github.com/valyala/fastjson"

	oracle "github.com/gofhir/fhirpath"
)

// TestExpressionsAgreeWithALibrary evaluates the expression of every parameter on
// every resource at hand, with our compiled paths and with a FHIRPath library that
// knows the whole language. Both find the same elements.
func TestExpressionsAgreeWithALibrary(t *testing.T) {
	reg, _ := load(t)
	byType := map[fhir.Type][]string{}
	for _, line := range oracleResources(t) {
		if rt, ok := fhir.ParseType(fastjson.GetString([]byte(line), "resourceType")); ok {
			byType[rt] = append(byType[rt], line)
		}
	}
	for _, rt := range reg.Types() {
		for _, p := range reg.Params(rt) {
			if !p.Indexed() {
				continue
			}
			t.Run(rt.String()+" "+p.Code, func(t *testing.T) {
				ours, err := fhirpath.Compile(p.Expression)
				if err != nil {
					t.Fatal(err)
				}
				found := 0
				for _, line := range byType[rt] {
					theirs, err := oracle.EvaluateCached([]byte(line), p.Expression)
					if err != nil {
						t.Fatalf("the library cannot evaluate %s: %v", p.Expression, err)
					}
					got := elements(t, ours.Append(nil, fastjson.MustParse(line)))
					found += len(got)
					if diff := cmp.Diff(values(t, theirs), got); diff != "" {
						t.Errorf("%s on\n%s\n(-library +ours):\n%s", p.Expression, line, diff)
					}
				}
				if found == 0 {
					t.Error("no resource has the element: the comparison proves nothing")
				}
			})
		}
	}
}

// oracleResources are those of the cases, and the guide's examples where they are
// beside the project.
func oracleResources(t *testing.T) []string {
	t.Helper()
	var all []string
	files, _ := filepath.Glob("testdata/*.txt")
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			if strings.HasPrefix(line, "{") {
				all = append(all, strings.TrimSpace(line))
			}
		}
	}
	examples, _ := filepath.Glob("../../../../shared/data/ig-examples/*.json")
	for _, file := range examples {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, string(text))
	}
	return all
}

// elements are what our path found, as texts that can be compared: a union gives
// each element once.
func elements(t *testing.T, found []*fastjson.Value) []string {
	var all []string
	for _, v := range found {
		all = append(all, canonical(t, v.MarshalTo(nil)))
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// values are what the library found, in the same form.
func values(t *testing.T, found types.Collection) []string {
	var all []string
	for _, v := range found {
		switch v := v.(type) {
		case *types.ObjectValue:
			all = append(all, canonical(t, v.Data()))
		case types.Boolean, types.Integer, types.Decimal:
			all = append(all, v.String())
		default: // texts of all kinds
			quoted, err := json.Marshal(v.String())
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, canonical(t, quoted))
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// canonical is JSON with sorted keys and no spaces.
func canonical(t *testing.T, text []byte) string {
	t.Helper()
	var v any
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	if err := decoder.Decode(&v); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	out, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}
