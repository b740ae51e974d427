package search

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"muster/internal/conformance"
	"muster/internal/fhir"
)

var (
	hop      = regexp.MustCompile("(?m)^[0-9]+\\. `(internal/[a-z/]+)`: ((?:(?:, )?`[A-Za-z.]+`)+)")
	function = regexp.MustCompile("`([A-Za-z.]+)`")
)

// TestWalk: each function that the walk in docs/tour.md names exists in its package.
func TestWalk(t *testing.T) {
	root := filepath.Join("..", "..")
	text, err := os.ReadFile(filepath.Join(root, "docs", "tour.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, walk, _ := strings.Cut(string(text), "## The walk of one _typeFilter")
	hops := hop.FindAllStringSubmatch(walk, -1)
	if len(hops) < 10 {
		t.Fatalf("the walk has %d hops, want at least 10", len(hops))
	}
	for _, h := range hops {
		declared := functions(t, filepath.Join(root, filepath.FromSlash(h[1])))
		for _, name := range function.FindAllStringSubmatch(h[2], -1) {
			if !slices.Contains(declared, name[1]) {
				t.Errorf("the walk names %s of %s, which does not exist", name[1], h[1])
			}
		}
	}
}

// functions returns the functions and methods of a package, also those of its interfaces.
func functions(t *testing.T, folder string) (names []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "*.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no package in %s: %v", folder, err)
	}
	for _, file := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(parsed, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				names = append(names, receiver(n)+n.Name.Name)
			case *ast.TypeSpec:
				if i, ok := n.Type.(*ast.InterfaceType); ok {
					for _, m := range i.Methods.List {
						for _, name := range m.Names {
							names = append(names, n.Name.Name+"."+name.Name)
						}
					}
				}
			}
			return true
		})
	}
	return names
}

// receiver returns the type of a method with a dot, and nothing for a function.
func receiver(f *ast.FuncDecl) string {
	if f.Recv == nil {
		return ""
	}
	typ := f.Recv.List[0].Type
	if star, ok := typ.(*ast.StarExpr); ok {
		typ = star.X
	}
	name, _ := typ.(*ast.Ident)
	return name.String() + "."
}

// lookUps counts the look-ups of parameters.
type lookUps struct {
	*conformance.Registry
	asked []string
}

func (l *lookUps) Param(t fhir.Type, code string) (conformance.Param, bool) {
	l.asked = append(l.asked, t.String()+"?"+code)
	return l.Registry.Param(t, code)
}

// TestLookUpsOfCompile: compiling a filter asks the registry once for each node and each
// type that the resource at the node may have. The Compiler has no other registry to ask.
func TestLookUpsOfCompile(t *testing.T) {
	c := compiler(t)
	reg := &lookUps{Registry: c.reg}
	c.reg, c.names = nil, reg
	since := fhir.Instant(0)
	for text, want := range map[string]string{
		"PractitionerRole?location.address-city=Balmain&active=true":                    "PractitionerRole?location Location?address-city PractitionerRole?active",
		"Practitioner?_has:PractitionerRole:practitioner:location.address-city=Balmain": "PractitionerRole?practitioner PractitionerRole?location Location?address-city",
		"Provenance?agent.who=Organization/a":                                           "Provenance?agent",
		"Provenance?target.name=a":                                                      "Provenance?target Organization?name Location?name Endpoint?name HealthcareService?name Practitioner?name PractitionerRole?name",
		"Provenance?target.resolve().as(Organization)":                                  "Provenance?target",
	} {
		for _, export := range []Export{full, {May: full.May, Since: &since, WithoutSuppressed: true}} {
			reg.asked = nil
			if _, err := c.ExportFilter(text, export); err != nil {
				t.Fatalf("%s: %v", text, err)
			}
			want := strings.Fields(want)
			slices.Sort(want)
			slices.Sort(reg.asked)
			if !slices.Equal(reg.asked, want) {
				t.Errorf("%s looks up %v, want %v", text, reg.asked, want)
			}
		}
	}
}
