package search

import (
	"fmt"
	"strings"
	"testing"
	"time"
	_ "time/tzdata" // the goldens read dates in Sydney

	"muster/internal/conformance"
	"muster/internal/fhir"
	"muster/internal/policy"
	"muster/internal/testkit/golden"
)

// full is an export without _since of a client that may ask for everything.
var full = Export{May: policy.FullAccess()}

func compiler(t testing.TB) *Compiler {
	t.Helper()
	reg, err := conformance.Load()
	if err != nil {
		t.Fatal(err)
	}
	sydney, err := time.LoadLocation("Australia/Sydney")
	if err != nil {
		t.Fatal(err)
	}
	return New(reg, "https://directory.example/fhir", sydney)
}

// TestGolden holds the plan of each filter in testdata; its README tells the form.
func TestGolden(t *testing.T) {
	c := compiler(t)
	golden.CheckAnswers(t, "testdata/*.txt", func(t *testing.T, line string) string {
		if text, isFilter := strings.CutPrefix(line, "filter "); isFilter {
			return answer(t, c, text)
		}
		return ""
	})
}

// answer prints the canonical text with both plans, or the problems.
func answer(t *testing.T, c *Compiler, text string) string {
	f, err := c.ExportFilter(text, full)
	if issues, ok := fhir.AsIssues(err); ok {
		var b strings.Builder
		for _, i := range issues {
			fmt.Fprintf(&b, "  refused %s: %s\n", i.Code, i.Diagnostics)
		}
		return b.String()
	}
	since, err := fhir.ParseInstant("2026-03-01T09:30:00+11:00")
	if err != nil {
		t.Fatal(err)
	}
	delta, err := c.ExportFilter(text, Export{May: policy.FullAccess(), Since: &since})
	if err != nil || delta.Text() != f.Text() {
		t.Fatalf("%s: accepted, but with _since the text is %q and the error %v", text, delta.Text(), err)
	}
	return fmt.Sprintf("  text %s\n  snapshot %s  delta %s", f.Text(), indent(f.Plan.String()), indent(delta.Plan.String()))
}

func indent(tree string) string {
	return strings.ReplaceAll(strings.TrimSuffix(tree, "\n"), "\n", "\n  ") + "\n"
}
