package searchsql_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"muster/internal/conformance"
	"muster/internal/fhir"
	"muster/internal/policy"
	"muster/internal/search"
	"muster/internal/search/plan"
	"muster/internal/store/searchsql"
	"muster/internal/store/searchsql/optimiser"

	"github.com/google/go-cmp/cmp"
)

var databases = []searchsql.Dialect{searchsql.SQLite, searchsql.PostgreSQL}

func compiler(t testing.TB) *search.Compiler {
	t.Helper()
	reg, err := conformance.Load()
	if err != nil {
		t.Fatal(err)
	}
	return search.New(reg, "https://directory.example/fhir", time.UTC)
}

// TestShapes checks the plan and the statements of the queries in testdata/shapes. The
// README there describes the format.
func TestShapes(t *testing.T) {
	files, err := filepath.Glob("testdata/shapes/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden files: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			old, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := shapes(t, string(old))
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(string(old), got); diff != "" {
				t.Errorf("%s (-file +code; run with -update to accept)\n%s", file, diff)
			}
		})
	}
}

// shapes returns the expected content of the file: its comments and cases, each case
// followed by the plan and the statements.
func shapes(t *testing.T, file string) string {
	c := compiler(t)
	var b strings.Builder
	for line := range strings.Lines(file) {
		if strings.HasPrefix(line, "  ") {
			continue
		}
		b.WriteString(line)
		words := strings.Fields(line)
		if len(words) == 0 || words[0] == "#" {
			continue
		}
		p := planOf(t, c, words[len(words)-1])
		fmt.Fprintf(&b, "%s", indented(p.String()))
		for _, d := range databases {
			for _, s := range statements(t, c, d, words, p) {
				fmt.Fprintf(&b, "  %v\n%s", d, indented(s.SQL))
				fmt.Fprintf(&b, "    with %v\n", s.Args)
			}
		}
	}
	return b.String()
}

// compile compiles Type?criteria as a search, sorted by the keys unless they are empty.
func compile(c *search.Compiler, text, keys string) (search.SearchRequest, error) {
	name, rawQuery, _ := strings.Cut(text, "?")
	t, _ := fhir.ParseType(name)
	if keys != "" {
		rawQuery += "&_sort=" + keys
	}
	return c.SearchURL(t, rawQuery, policy.SearchRules{RequireSubstantive: true}, policy.SuppressedOffered)
}

func planOf(t *testing.T, c *search.Compiler, text string) plan.Plan {
	t.Helper()
	q, err := compile(c, text, "")
	if err != nil {
		t.Fatal(err)
	}
	return q.Plan
}

// statements returns the statements of a case: select QUERY, page KEYS QUERY, scan KEYS
// QUERY, unordered QUERY or total QUERY.
func statements(t *testing.T, c *search.Compiler, d searchsql.Dialect, words []string, p plan.Plan) []searchsql.Statement {
	t.Helper()
	var order []plan.Order
	if len(words) == 3 {
		q, err := compile(c, words[2], words[1])
		if err != nil {
			t.Fatal(err)
		}
		order = q.Order
	}
	large, err := optimiser.Optimise(t.Context(), d, p, 10_000, func(_ context.Context, s searchsql.Statement) (int64, error) {
		return s.Args[len(s.Args)-1].(int64), nil // the count reaches its limit
	})
	if err != nil {
		t.Fatal(err)
	}
	switch words[0] {
	case "select":
		return []searchsql.Statement{d.Select(optimiser.ByHeuristic(p))}
	case "page":
		return d.Page(optimiser.ByHeuristic(p), order, 30)
	case "scan":
		return d.Page(large, order, 30)
	case "unordered":
		return []searchsql.Statement{d.UnorderedPage(large, 31)}
	case "total":
		return []searchsql.Statement{d.Total(large, 1001)}
	}
	t.Fatalf("%v: begin the line with select, page, scan, unordered or total", words)
	return nil
}

func indented(text string) string {
	return "    " + strings.ReplaceAll(strings.TrimRight(text, "\n"), "\n", "\n    ") + "\n"
}
