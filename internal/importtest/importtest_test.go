// Package importtest holds the directions of muster: which package may import
// which. A request goes up the levels, bytes come down, and nobody imports
// upwards. The table is the architecture; a package that is not in it fails.
package importtest

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// rule says what one package may import of muster, and why it ends there.
type rule struct {
	pkg    string
	may    []string
	reason string
}

var rules = []rule{
	{"internal/fhir", nil, "the words of FHIR know nobody"},
	{"internal/failpoint", nil, "fault points are used at every level"},
	{"internal/auth", nil, "a principal is a value in a context"},
	{"internal/fhirpath", nil, "expressions over JSON, nothing of ours"},
	{"internal/conformance", []string{"internal/fhir"}, "definitions are data"},
	{"internal/search/query", []string{"internal/fhir"}, "a question knows no database and no rules"},
	{"internal/search/index", []string{"internal/fhir", "internal/fhirpath", "internal/conformance"}, "entries follow from definitions"},
	{"internal/search/bound", []string{"internal/fhir", "internal/conformance", "internal/search/query"}, "names and their definitions, without rules"},
	{"internal/policy", []string{"internal/fhir", "internal/conformance", "internal/search/query", "internal/search/bound", "internal/search/index"}, "rules speak about questions and resources, not tables"},
	{"internal/search/plan", []string{"internal/fhir", "internal/conformance", "internal/search/query", "internal/search/bound", "internal/search/index"}, "a plan knows no dialect"},
	{"internal/search", []string{"internal/fhir", "internal/conformance", "internal/search/query", "internal/search/bound", "internal/search/index", "internal/search/plan", "internal/policy"}, "the front door of questions"},
	{"internal/searchset", []string{"internal/fhir", "internal/auth", "internal/conformance", "internal/policy", "internal/search", "internal/search/plan", "internal/store"}, "answers of searches and reads; knows no HTTP and no driver"},
	{"internal/store/searchsql", []string{"internal/search/index", "internal/search/plan", "internal/store", "internal/store/searchsql/optimizer", "internal/store/searchsql/physical", "internal/store/searchsql/sqlwriter"}, "decides which statements run; the drivers run them"},
	{"internal/store/searchsql/optimizer", []string{"internal/search/index", "internal/search/plan", "internal/store/searchsql/physical", "internal/store/searchsql/sqlwriter"}, "chooses the order of execution; runs no page"},
	{"internal/store/searchsql/sqlwriter", []string{"internal/fhir", "internal/search/index", "internal/search/plan", "internal/store", "internal/store/placeholder", "internal/store/searchsql/physical"}, "returns text; makes no decisions and runs nothing"},
	{"internal/store/searchsql/physical", []string{"internal/fhir", "internal/search/index", "internal/search/plan"}, "a value between the optimizer and the writer"},
	{"internal/store/placeholder", nil, "text of statements, for every dialect that numbers its arguments"},
	{"internal/store", []string{"internal/fhir", "internal/search/index", "internal/search/plan"}, "interfaces and row types, no SQL"},
	{"internal/store/writepath", []string{"internal/fhir", "internal/failpoint", "internal/store", "internal/search/index"}, "rules of writing that the drivers share, no SQL"},
	{"internal/store/jobsql", []string{"internal/fhir", "internal/failpoint", "internal/store", "internal/store/placeholder", "internal/store/sqlrows"}, "the job tables of any SQL database; the driver brings the database"},
	{"internal/store/inspectsql", []string{"internal/fhir", "internal/search/index", "internal/store", "internal/store/placeholder", "internal/store/sqlrows", "internal/store/writepath", "internal/store/jobsql"}, "what any SQL database keeps, shown to a check"},
	{"internal/store/sqlrows", nil, "reads rows of database/sql"},
	{"internal/store/metasql", []string{"internal/fhir", "internal/failpoint", "internal/store", "internal/store/sqlrows"}, "table meta of any SQL database"},
	{"internal/store/deadline", []string{"internal/fhir", "internal/search/plan", "internal/store"}, "limits the time of searches; runs no statement itself"},
	{"internal/store/sqlite", []string{"internal/filelock", "internal/store/deadline", "internal/store/metasql", "internal/store/sqlrows", "internal/store/inspectsql", "internal/store/placeholder", "internal/fhir", "internal/oserror", "internal/failpoint", "internal/store", "internal/store/writepath", "internal/store/jobsql", "internal/search/index", "internal/search/plan", "internal/store/searchsql"}, "a driver knows no HTTP, no export, no other driver"},
	{"internal/store/postgres", []string{"internal/store/deadline", "internal/store/metasql", "internal/store/sqlrows", "internal/store/inspectsql", "internal/store/placeholder", "internal/fhir", "internal/oserror", "internal/failpoint", "internal/store", "internal/store/writepath", "internal/store/jobsql", "internal/search/index", "internal/search/plan", "internal/store/searchsql"}, "a driver knows no HTTP, no export, no other driver"},
	{"internal/store/storetest", []string{"internal/fhir", "internal/failpoint", "internal/store", "internal/search/index", "internal/search/plan"}, "the suite runs on any driver"},
	{"internal/searchtest", []string{"internal/fhir", "internal/search/query"}, "a second opinion shares nothing with the engine but the question"},
	{"internal/searchtest/compare", []string{"internal/fhir", "internal/blob", "internal/conformance", "internal/export", "internal/load", "internal/policy", "internal/search", "internal/search/index", "internal/search/plan", "internal/search/query", "internal/searchset", "internal/searchtest", "internal/server", "internal/store"}, "puts one question to both, and to the server"},
	{"internal/testkit/stores", []string{"internal/conformance", "internal/policy", "internal/store", "internal/store/sqlite", "internal/store/postgres"}, "makes stores for tests of either database"},
	{"bench/soak/search", []string{"internal/blob", "internal/conformance", "internal/search/index", "internal/searchtest/compare", "internal/store", "internal/testkit/stores"}, "compares in the store, not from outside"},
	{"bench/search", []string{"internal/conformance", "internal/fhir", "internal/policy", "internal/search", "internal/search/index", "internal/store", "internal/store/sqlite", "internal/store/postgres", "internal/testkit", "internal/testkit/stores"}, "measures searches in the store, below HTTP"},
	{"internal/part", []string{"internal/fhir", "internal/failpoint"}, "the format of a part file"},
	{"internal/strictjson", nil, "the grammar of JSON"},
	{"internal/humanize", nil, "numbers for people"},
	{"internal/oserror", nil, "words for errors of disk and database"},
	{"internal/filelock", nil, "locks of the file system"},
	{"internal/blob", []string{"internal/failpoint", "internal/filelock", "internal/oserror"}, "bytes under names"},
	{"internal/job", []string{"internal/fhir", "internal/failpoint", "internal/store"}, "the engine knows no export"},
	{"internal/export", []string{"internal/fhir", "internal/failpoint", "internal/auth", "internal/store", "internal/search", "internal/search/query", "internal/search/plan", "internal/policy", "internal/job", "internal/part", "internal/blob", "internal/strictjson", "internal/humanize"}, "export knows no HTTP and no driver"},
	{"internal/load", []string{"internal/fhir", "internal/failpoint", "internal/conformance", "internal/policy", "internal/search/index", "internal/store", "internal/strictjson"}, "reading files into a directory, whatever its database"},
	{"internal/metrics", []string{"internal/fhir", "internal/store"}, "numbers; it is told by observers, and nobody who is observed knows it"},
	{"internal/audit", nil, "an event is made of words; who writes it down is wired by the program"},
	{"internal/check", []string{"internal/fhir", "internal/conformance", "internal/policy", "internal/search/index", "internal/store", "internal/part", "internal/blob"}, "holds what is stored against the rules that made it, whatever the database"},
	{"internal/server", []string{"internal/fhir", "internal/oserror", "internal/audit", "internal/auth", "internal/conformance", "internal/store", "internal/export", "internal/searchset", "internal/blob"}, "HTTP knows no driver"},
	{"internal/backup", []string{"internal/fhir", "internal/failpoint", "internal/blob", "internal/store"}, "the order in which a directory is copied; drivers freeze and write their own"},
	{"internal/synth", nil, "made from the guide's rules and not from our code, so that tests compare two answers"},
	{"internal/report", []string{"internal/fhir", "internal/humanize"}, "pictures of a directory from its resources"},
	{"internal/testkit/bound", nil, "holds code under test within time and memory"},
	{"internal/testkit", []string{"internal/failpoint"}, "runs the program from outside"},
	{"internal/testkit/pgtest", nil, "gives tests a database and knows nothing of what they do in it"},
	{"cmd/muster", []string{"*"}, "the only place that wires"},
	{"bench/soak", []string{"internal/testkit", "internal/failpoint", "internal/fhir", "internal/store", "internal/store/sqlite", "internal/store/postgres"}, "runs the program from outside, but for removals, which no command does"},
	{"bench/soak/*", []string{"bench/soak", "internal/testkit", "internal/failpoint"}, "soaks as programs"},
	{"bench/*", []string{"internal/testkit"}, "measures the program from outside"},
	{"internal/importtest", nil, "reads source text only"},
	{"internal/reqtrace", nil, "reads tests and documents as text"},
}

func TestDirections(t *testing.T) {
	root := filepath.Join("..", "..")
	used := map[string]bool{}
	for pkg, imports := range packages(t, root) {
		r, ok := ruleFor(pkg)
		if !ok {
			t.Errorf("package %s is not in the table of directions: add it to importtest with its reason", pkg)
			continue
		}
		used[r.pkg] = true
		for _, imported := range imports {
			if !slices.Contains(r.may, "*") && !slices.Contains(r.may, imported) {
				t.Errorf("%s imports %s, which goes against the directions (%s)", pkg, imported, r.reason)
			}
		}
	}
	for _, r := range rules {
		if !used[r.pkg] {
			t.Errorf("the table names %s, which does not exist", r.pkg)
		}
	}
}

func ruleFor(pkg string) (rule, bool) {
	for _, r := range rules {
		if ok, _ := filepath.Match(r.pkg, pkg); ok {
			return r, true
		}
	}
	return rule{}, false
}

// packages returns the muster packages that each package of ours imports in code
// that is not a test. Packages with tests only are left out, but for this one.
func packages(t *testing.T, root string) map[string][]string {
	t.Helper()
	found := map[string][]string{"internal/importtest": nil}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() && path != root && (strings.HasPrefix(name, ".") || name == "testdata") {
			return fs.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		pkg, err := filepath.Rel(root, filepath.Dir(path))
		if err != nil {
			return err
		}
		pkg = filepath.ToSlash(pkg)
		if _, ok := found[pkg]; !ok {
			found[pkg] = nil
		}
		source, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, source, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, spec := range file.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			if ours, ok := strings.CutPrefix(imported, "muster/"); ok && !slices.Contains(found[pkg], ours) {
				found[pkg] = append(found[pkg], ours)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
