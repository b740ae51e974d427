package searchsql_test

import (
	"context"
	"fmt"
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
	"muster/internal/testkit/golden"
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
	c := compiler(t)
	golden.CheckAnswers(t, "testdata/shapes/*.txt", func(t *testing.T, line string) string {
		words := strings.Fields(line)
		if len(words) == 0 || words[0] == "#" {
			return ""
		}
		var b strings.Builder
		p := planOf(t, c, words[len(words)-1])
		b.WriteString(indented(p.String()))
		for _, d := range databases {
			for _, s := range statements(t, c, d, words, p) {
				fmt.Fprintf(&b, "  %v\n%s", d, indented(s.SQL))
				fmt.Fprintf(&b, "    with %v\n", s.Args)
			}
		}
		return b.String()
	})
}

// compile compiles Type?criteria as a search, sorted by the keys unless they are empty.
func compile(c *search.Compiler, text, keys string) (search.SearchRequest, error) {
	name, rawQuery, _ := strings.Cut(text, "?")
	t, _ := fhir.ParseType(name)
	if keys != "" {
		rawQuery += "&_sort=" + keys
	}
	return c.SearchURL(t, rawQuery, policy.SearchRules{RequireSubstantive: true}, policy.FullAccess())
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
