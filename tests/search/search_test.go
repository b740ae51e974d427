// Package search holds scripts of searches: text files with a tiny directory, queries,
// and what each of them finds or why it is refused. README.md explains their little
// language.
//
// The tests run every script on each database, in three ways that must agree with the
// script: as an export from the store, as a request to the HTTP handler, and through
// the naive evaluator of package searchtest. A test of its own sees to it that no
// parameter, modifier, prefix, alias or include that the registry claims is missing
// from the scripts.
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

// run asks everything a script asks, of all sides.
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
		for _, side := range []struct {
			name string
			ask  func(question) (answer, error)
			can  bool
		}{
			{"the evaluator", func(q question) (answer, error) { return evaluated(trial, q) }, q.kind != "read" && plain(q.query)},
			{"an export", func(q question) (answer, error) { return exported(t, trial, q) }, q.kind == "export" || q.kind != "read" && plain(q.query)},
			{"the search API", func(q question) (answer, error) { return searched(t, client, q) }, q.kind == "search" || q.kind == "read"},
		} {
			if !side.can {
				continue
			}
			got, err := side.ask(q)
			if err != nil {
				t.Errorf("%s:%d: %s: %s fails: %v", s.file, q.line, q.query, side.name, err)
				continue
			}
			if problem := q.differs(got); problem != "" {
				t.Errorf("%s:%d: %s: %s %s", s.file, q.line, q.query, side.name, problem)
			}
		}
	}
}

// plain tells whether a query has criteria alone, so that a filter may say the same.
func plain(text string) bool {
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

// answer is what a side says.
type answer struct {
	ids      []string
	ordered  bool         // the order of ids means something
	includes []string     // Type/id, if the side has includes
	total    int          // -1 if it has none
	refused  *fhir.Issues // the refusal
	codeless bool         // the side refuses without a code
}

// differs says in which way an answer is not what the script says.
func (q question) differs(got answer) string {
	if got.refused != nil || q.refused != "" {
		return q.refusalDiffers(got)
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

func (q question) refusalDiffers(got answer) string {
	switch {
	case got.refused == nil:
		return fmt.Sprintf("finds %v and does not refuse", got.ids)
	case q.refused == "":
		return fmt.Sprintf("refuses: %v", *got.refused)
	case got.codeless:
		return ""
	}
	for _, issue := range *got.refused {
		if string(issue.Code) == q.refused && strings.Contains(issue.Diagnostics, q.why) {
			return ""
		}
	}
	return fmt.Sprintf("refuses otherwise: %v %v", (*got.refused)[0].Code, *got.refused)
}

func refusal(err error) (answer, error) {
	issues, ok := fhir.AsIssues(err)
	if !ok {
		return answer{}, err
	}
	return answer{refused: &issues}, nil
}

// evaluated is what the naive evaluator says.
func evaluated(trial *compare.Trial, q question) (answer, error) {
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
		return answer{}, errors.New("a place is too near the edge of a circle: move it")
	}
	return answer{ids: found.IDs}, nil
}

// exported is what an export holds.
func exported(t *testing.T, trial *compare.Trial, q question) (answer, error) {
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

// searched is what the search API answers.
func searched(t *testing.T, c *compare.Client, q question) (answer, error) {
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
