// Package search contains search scripts: text files with a small directory, queries, and
// the expected answer or error of each query. README.md describes the format.
//
// The tests run every script on each database, in three ways that must agree with the
// script: as an export from the store, as a request to the HTTP handler, and through the
// reference evaluator of package searchtest. Another test checks that the scripts cover
// every parameter, modifier, prefix, alias and include of the registry.
package search

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"muster/internal/blob"
	"muster/internal/conformance"
	"muster/internal/fhir"
	"muster/internal/search/query"
	"muster/internal/searchtest/compare"
)

func scripts(t testing.TB) []*script {
	t.Helper()
	files, err := filepath.Glob("*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	var list []*script
	for _, file := range files {
		s, err := readScript(file)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, s)
	}
	return list
}

// TestScripts runs every script on every database.
func TestScripts(t *testing.T) {
	reg, err := conformance.Load()
	if err != nil {
		t.Fatal(err)
	}
	for name, open := range databases {
		t.Run(name, func(t *testing.T) {
			c := open(t, reg)
			for _, s := range scripts(t) {
				t.Run(strings.TrimSuffix(s.file, ".txt"), func(t *testing.T) {
					t.Attr("requirements", strings.Join(slices.Compact(slices.Sorted(slices.Values(s.req))), " "))
					run(t, c, s)
				})
			}
		})
	}
}

// run runs all searches of a script on the evaluator, as exports and over HTTP.
func run(t *testing.T, c compare.Config, s *script) {
	trial, err := c.Open(t.Context(), s.loads)
	if err != nil {
		t.Fatalf("%s: %v", s.file, err)
	}
	t.Cleanup(func() {
		if err := trial.Close(); err != nil {
			t.Error(err)
		}
	})
	blobs, err := blob.NewFolder(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = blobs.Close() })
	client, err := trial.Serve(blobs)
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range s.searches {
		for _, implementation := range []struct {
			name       string
			run        func(testCase) (answer, error)
			applicable bool
		}{
			{"the evaluator", func(q testCase) (answer, error) { return evaluate(trial, q) }, q.kind != "read" && onlyCriteria(q.query)},
			{"an export", func(q testCase) (answer, error) { return exportIDs(t, trial, q) }, q.kind == "export" || q.kind != "read" && onlyCriteria(q.query)},
			{"the search API", func(q testCase) (answer, error) { return get(t, client, q) }, q.kind == "search" || q.kind == "read"},
		} {
			if !implementation.applicable {
				continue
			}
			got, err := implementation.run(q)
			if err != nil {
				t.Errorf("%s:%d: %s: %s fails: %v", s.file, q.line, q.query, implementation.name, err)
				continue
			}
			if problem := q.compare(got); problem != "" {
				t.Errorf("%s:%d: %s: %s %s", s.file, q.line, q.query, implementation.name, problem)
			}
		}
	}
}

// onlyCriteria reports whether a query has no search result parameters, so that an export
// filter can express it.
func onlyCriteria(text string) bool {
	_, params, _ := strings.Cut(text, "?")
	for _, p := range strings.Split(params, "&") {
		name, _, _ := strings.Cut(p, "=")
		name, _, _ = strings.Cut(name, ":")
		switch name {
		case "_sort", "_count", "_include", "_revinclude", "_total", "_summary", "_elements", "_format", "_pretty":
			return false
		}
	}
	return true
}

// answer is the answer of one implementation.
type answer struct {
	ids      []string
	ordered  bool         // the order of ids is significant
	includes []string     // Type/id
	total    int          // -1 if there is none
	refused  *fhir.Issues // errors of a refused query
	codeless bool         // the query is refused without a code
}

// compare returns how an answer differs from the expected answer, or an empty string.
func (q testCase) compare(got answer) string {
	if got.refused != nil || q.refused != "" {
		return q.compareRefusal(got)
	}
	want, have := slices.Clone(q.ids), slices.Clone(got.ids)
	if !q.ordered || !got.ordered {
		slices.Sort(want)
		slices.Sort(have)
	}
	if !slices.Equal(want, have) {
		return fmt.Sprintf("finds %v, not %v", have, want)
	}
	if !got.ordered {
		return ""
	}
	slices.Sort(got.includes)
	slices.Sort(q.includes)
	if !slices.Equal(q.includes, got.includes) {
		return fmt.Sprintf("includes %v, not %v", got.includes, q.includes)
	}
	if q.total >= 0 && q.total != got.total {
		return fmt.Sprintf("counts %d, not %d", got.total, q.total)
	}
	return ""
}

func (q testCase) compareRefusal(got answer) string {
	switch {
	case got.refused == nil:
		return fmt.Sprintf("finds %v, but must refuse", got.ids)
	case q.refused == "":
		return fmt.Sprintf("refuses: %v", *got.refused)
	case got.codeless:
		return ""
	}
	for _, issue := range *got.refused {
		if string(issue.Code) == q.refused && strings.Contains(issue.Diagnostics, q.diagnostics) {
			return ""
		}
	}
	return fmt.Sprintf("refuses with another error: %v %v", (*got.refused)[0].Code, *got.refused)
}

func refusal(err error) (answer, error) {
	issues, ok := fhir.AsIssues(err)
	if !ok {
		return answer{}, err
	}
	return answer{refused: &issues}, nil
}

// evaluate returns the answer of the reference evaluator.
func evaluate(trial *compare.Trial, q testCase) (answer, error) {
	parsed, err := query.Parse(q.query)
	if err != nil {
		return refusal(err)
	}
	found, err := trial.Directory.Find(parsed)
	if q.since > 0 {
		found, err = trial.Directory.FindSince(parsed, q.since)
	}
	if err != nil {
		return answer{refused: &fhir.Issues{}, codeless: true}, nil
	}
	if found.Ambiguous {
		return answer{}, errors.New("a position is too close to the edge of a circle: move it")
	}
	return answer{ids: found.IDs}, nil
}

// exportIDs returns the ids that an export contains.
func exportIDs(t *testing.T, trial *compare.Trial, q testCase) (answer, error) {
	ids, err := []string(nil), error(nil)
	if q.since > 0 {
		ids, err = trial.ExportSince(t.Context(), q.query, q.since)
	} else {
		ids, err = trial.Export(t.Context(), q.query)
	}
	if err != nil {
		return refusal(err)
	}
	return answer{ids: ids}, nil
}

// get returns the answer of the HTTP API.
func get(t *testing.T, c *compare.Client, q testCase) (answer, error) {
	a, err := c.Get(t.Context(), q.query)
	switch {
	case err != nil:
		return answer{}, err
	case a.Refused != nil:
		return answer{refused: &a.Refused}, nil
	case q.kind == "read":
		return answer{ids: []string{a.ID}}, nil
	}
	return answer{ids: a.Matches, ordered: true, includes: a.Includes, total: a.Total}, nil
}
