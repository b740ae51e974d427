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
	"muster/internal/store/searchsql/optimizer"

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

// TestShapes holds what becomes of the queries in testdata/shapes: query, plan, and
// the text of both databases side by side. The README tells the form.
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

// shapes returns the file as it should be: comments and questions as they are, below
// each question what the code answers.
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
		p := planned(t, c, words[len(words)-1])
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

// ask reads Type?criteria as a search, in the order of the keys if there are some.
func ask(c *search.Compiler, text, keys string) (search.SearchRequest, error) {
	name, rawQuery, _ := strings.Cut(text, "?")
	t, _ := fhir.ParseType(name)
	if keys != "" {
		rawQuery += "&_sort=" + keys
	}
	return c.SearchURL(t, rawQuery, policy.SearchRules{RequireSubstantive: true}, policy.SuppressedOffered)
}

func planned(t *testing.T, c *search.Compiler, text string) plan.Plan {
	t.Helper()
	q, err := ask(c, text, "")
	if err != nil {
		t.Fatal(err)
	}
	return q.Plan
}

// statements are those of a question: select QUERY, page KEYS QUERY, broad KEYS
// QUERY, stream QUERY or total QUERY, where broad is a page of a search without a small set.
func statements(t *testing.T, c *search.Compiler, d searchsql.Dialect, words []string, p plan.Plan) []searchsql.Statement {
	t.Helper()
	var order []plan.Order
	if len(words) == 3 {
		q, err := ask(c, words[2], words[1])
		if err != nil {
			t.Fatal(err)
		}
		order = q.Order
	}
	broad, err := optimizer.Optimize(t.Context(), d, p, 10_000, func(_ context.Context, s searchsql.Statement) (int64, error) {
		return s.Args[len(s.Args)-1].(int64), nil // every count reaches its limit
	})
	if err != nil {
		t.Fatal(err)
	}
	switch words[0] {
	case "select":
		return []searchsql.Statement{d.Select(optimizer.ByHeuristic(p))}
	case "page":
		return d.Page(optimizer.ByHeuristic(p), order, 30)
	case "broad":
		return d.Page(broad, order, 30)
	case "stream":
		return []searchsql.Statement{d.UnorderedPage(broad, 31)}
	case "total":
		return []searchsql.Statement{d.Total(broad, 1001)}
	}
	t.Fatalf("%v: begin with select, page, broad, stream or total", words)
	return nil
}

func indented(text string) string {
	return "    " + strings.ReplaceAll(strings.TrimRight(text, "\n"), "\n", "\n    ") + "\n"
}
