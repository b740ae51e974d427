// Package importtest holds the table of imports: which package of muster may import which
// others, and why. Packages are on levels, and an import only goes down a level. A package
// that is not in the table fails the test.
package importtest

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"muster/internal/testkit/golden"
)

var root = filepath.Join("..", "..")

// rule lists the packages of muster that one package may import, and says why.
type rule struct {
	pkg    string
	may    []string
	reason string
}

// levels is the table, from the bottom to the top. Packages of one level do not import each
// other. The drawing in docs/tour.md is made from it.
var levels = [][]rule{
	{
		{"internal/fhir", nil, "types of FHIR, without the rest of muster"},
		{"internal/requestid", nil, "an id is a value in a context"},
		{"internal/failpoint", nil, "every level has failpoints"},
		{"internal/fhirpath", nil, "expressions over JSON"},
		{"internal/filelock", nil, "file locks of the operating system"},
		{"internal/damage", nil, "checksums, and the error for data that do not match them"},
		{"internal/oserror", nil, "messages for errors of the operating system and of databases"},
		{"internal/regularfile", nil, "opens files"},
		{"internal/synth", nil, "follows the guide and shares no code with muster, so that tests compare two implementations"},
		{"internal/store/placeholder", nil, "text of statements only"},
		{"internal/store/sqlrows", nil, "reads rows of database/sql"},
		{"internal/strictjson", nil, "the grammar of JSON"},
		{"internal/humanize", nil, "numbers, lists, durations and sizes as text"},
		{"internal/r4", nil, "tables of published definitions"},
	},
	{
		{"internal/auth/fetch", []string{"internal/humanize"}, "small documents of web servers that others run"},
		{"internal/audit", []string{"internal/regularfile"}, "an event is plain text; cmd/muster connects it with the server"},
		{"internal/auth", []string{"internal/fhir"}, "a principal is a value in a context"},
		{"internal/conformance", []string{"internal/fhir", "internal/r4"}, "definitions are data"},
		{"internal/search/query", []string{"internal/fhir"}, "the syntax of searches, without definitions and databases"},
		{"internal/part", []string{"internal/damage"}, "the format of a part file"},
		{"internal/blob", []string{"internal/failpoint", "internal/filelock", "internal/oserror", "internal/regularfile"}, "bytes under names"},
		{"internal/store/sqlite/pagesum", []string{"internal/damage", "internal/regularfile"}, "a file layer of SQLite, without SQL"},
		{"internal/report", []string{"internal/fhir", "internal/humanize"}, "reads resources, not a store"},
	},
	{
		{"internal/auth/jwks", []string{"internal/auth/fetch", "internal/regularfile", "internal/strictjson"}, "public keys, without tokens"},
		{"internal/auth/scope", []string{"internal/auth", "internal/fhir", "internal/humanize"}, "the meaning of scopes, without tokens"},
		{"internal/client", []string{"internal/auth"}, "a client of the limits is a value in a context"},
		{"internal/search/index", []string{"internal/fhir", "internal/fhirpath", "internal/conformance"}, "entries follow from definitions"},
		{"internal/search/bound", []string{"internal/fhir", "internal/conformance", "internal/search/query"}, "names with their definitions, without rules"},
	},
	{
		{"internal/share", []string{"internal/client"}, "amounts and turns of anything, by client"},
		{"internal/policy", []string{"internal/fhir", "internal/auth", "internal/conformance", "internal/search/query", "internal/search/bound", "internal/search/index"}, "rules are about searches and resources, not about tables"},
		{"internal/search/plan", []string{"internal/fhir", "internal/humanize", "internal/conformance", "internal/search/query", "internal/search/bound", "internal/search/index"}, "a plan does not depend on a dialect of SQL"},
	},
	{
		{"internal/search", []string{"internal/fhir", "internal/conformance", "internal/search/query", "internal/search/bound", "internal/search/index", "internal/search/plan", "internal/policy"}, "the compiler of searches"},
		{"internal/store", []string{"internal/auth", "internal/damage", "internal/client", "internal/fhir", "internal/humanize", "internal/search/index", "internal/search/plan"}, "interfaces and row types, no SQL"},
		{"internal/store/searchsql/physical", []string{"internal/fhir", "internal/search/index", "internal/search/plan"}, "the value between the optimiser and the writer"},
	},
	{
		{"internal/backup", []string{"internal/fhir", "internal/failpoint", "internal/blob", "internal/store"}, "the order of a copy; the drivers copy their databases"},
		{"internal/store/writepath", []string{"internal/fhir", "internal/failpoint", "internal/store", "internal/search/index"}, "the rules of writing that both drivers share, no SQL"},
		{"internal/store/jobsql", []string{"internal/auth", "internal/damage", "internal/client", "internal/share", "internal/fhir", "internal/failpoint", "internal/store", "internal/store/placeholder", "internal/store/sqlrows"}, "the job tables of any SQL database"},
		{"internal/job", []string{"internal/fhir", "internal/failpoint", "internal/humanize", "internal/oserror", "internal/share", "internal/store"}, "the engine does not depend on exports"},
		{"internal/load", []string{"internal/fhir", "internal/humanize", "internal/failpoint", "internal/r4", "internal/conformance", "internal/policy", "internal/search/index", "internal/store", "internal/strictjson", "internal/regularfile"}, "loads files into a directory of either database"},
		{"internal/metrics", []string{"internal/fhir", "internal/damage", "internal/store"}, "implements the observers that other packages define"},
		{"internal/check", []string{"internal/fhir", "internal/conformance", "internal/policy", "internal/search/index", "internal/store", "internal/part", "internal/blob", "internal/regularfile"}, "compares what is stored with the rules, on either database"},
		{"internal/searchset", []string{"internal/share", "internal/fhir", "internal/auth", "internal/requestid", "internal/conformance", "internal/policy", "internal/search", "internal/search/plan", "internal/store"}, "searches and reads, without HTTP and drivers"},
		{"internal/store/searchsql/sqlwriter", []string{"internal/fhir", "internal/search/index", "internal/search/plan", "internal/store", "internal/store/placeholder", "internal/store/searchsql/physical"}, "returns text; makes no decisions and runs nothing"},
		{"internal/store/metasql", []string{"internal/fhir", "internal/failpoint", "internal/store", "internal/store/sqlrows"}, "table meta of any SQL database"},
		{"internal/store/deadline", []string{"internal/client", "internal/share", "internal/fhir", "internal/humanize", "internal/search/plan", "internal/store"}, "limits the time and the number of searches; runs no statement itself"},
	},
	{
		{"internal/store/cascadesql", []string{"internal/fhir", "internal/search/index", "internal/store", "internal/store/placeholder", "internal/store/writepath"}, "finds what states depend on in any SQL database; decides nothing"},
	},
	{
		{"internal/store/inspectsql", []string{"internal/store/cascadesql", "internal/fhir", "internal/search/index", "internal/store", "internal/store/placeholder", "internal/store/sqlrows", "internal/store/writepath", "internal/store/jobsql"}, "reads what any SQL database stores, for a check"},
		{"internal/export", []string{"internal/damage", "internal/client", "internal/fhir", "internal/failpoint", "internal/auth", "internal/store", "internal/search", "internal/search/query", "internal/search/plan", "internal/policy", "internal/job", "internal/part", "internal/blob", "internal/strictjson", "internal/humanize"}, "exports, without HTTP and drivers"},
		{"internal/store/searchsql/optimiser", []string{"internal/search/index", "internal/search/plan", "internal/store/searchsql/physical", "internal/store/searchsql/sqlwriter"}, "chooses the order of execution; runs no page"},
	},
	{
		{"internal/store/searchsql", []string{"internal/search/index", "internal/search/plan", "internal/store", "internal/store/searchsql/optimiser", "internal/store/searchsql/physical", "internal/store/searchsql/sqlwriter"}, "decides which statements run; the drivers run them"},
		{"internal/server", []string{"internal/share", "internal/fhir", "internal/damage", "internal/oserror", "internal/audit", "internal/auth", "internal/client", "internal/requestid", "internal/conformance", "internal/store", "internal/export", "internal/searchset", "internal/blob"}, "HTTP, without drivers"},
	},
	{
		{"internal/store/sqlite", []string{"internal/regularfile", "internal/share", "internal/store/sqlite/pagesum", "internal/damage", "internal/filelock", "internal/store/deadline", "internal/store/metasql", "internal/store/sqlrows", "internal/store/cascadesql", "internal/store/inspectsql", "internal/store/placeholder", "internal/fhir", "internal/oserror", "internal/failpoint", "internal/store", "internal/store/writepath", "internal/store/jobsql", "internal/search/index", "internal/search/plan", "internal/store/searchsql"}, "a driver does not depend on HTTP, exports or another driver"},
		{"internal/store/postgres", []string{"internal/share", "internal/damage", "internal/store/deadline", "internal/store/metasql", "internal/store/sqlrows", "internal/store/cascadesql", "internal/store/inspectsql", "internal/store/placeholder", "internal/fhir", "internal/oserror", "internal/failpoint", "internal/store", "internal/store/writepath", "internal/store/jobsql", "internal/search/index", "internal/search/plan", "internal/store/searchsql"}, "a driver does not depend on HTTP, exports or another driver"},
	},
	{
		{"cmd/muster", []string{"*"}, "the only place that connects all packages"},
	},
}

// tests lists the packages that only tests and benchmarks use. They are not in the drawing.
var tests = []rule{
	{"internal/testkit", []string{"internal/failpoint"}, "runs the program as a user does"},
	{"internal/testkit/issuer", nil, "signs tokens without the library that verifies them, so that tests compare two implementations"},
	{"internal/testkit/bound", nil, "limits the time and memory of code under test"},
	{"internal/testkit/golden", nil, "compares results with files"},
	{"internal/testkit/modtime", []string{"internal/blob"}, "lists files with times that tests can set"},
	{"internal/testkit/pgtest", nil, "gives tests a database"},
	{"internal/testkit/stores", []string{"internal/conformance", "internal/policy", "internal/store", "internal/store/sqlite", "internal/store/postgres"}, "opens stores on either database for tests"},
	{"internal/store/storetest", []string{"internal/auth", "internal/damage", "internal/client", "internal/fhir", "internal/failpoint", "internal/store", "internal/search/index", "internal/search/plan"}, "the suite runs on any driver"},
	{"internal/searchtest", []string{"internal/fhir", "internal/search/query"}, "shares only the syntax of searches with the engine"},
	{"internal/searchtest/compare", []string{"internal/fhir", "internal/auth", "internal/blob", "internal/conformance", "internal/export", "internal/load", "internal/policy", "internal/search", "internal/search/index", "internal/search/plan", "internal/search/query", "internal/searchset", "internal/searchtest", "internal/server", "internal/store"}, "compares searchtest with the engine and the server"},
	{"internal/rulestest", nil, "shares nothing with muster, neither rules nor storage, so that tests compare two implementations"},
	{"internal/rulestest/compare", []string{"internal/conformance", "internal/fhir", "internal/load", "internal/policy", "internal/rulestest", "internal/search", "internal/search/index", "internal/searchtest/compare", "internal/store"}, "compares rulestest with stores and the server"},
	{"bench/cascade", []string{"bench/soak", "internal/conformance", "internal/fhir", "internal/load", "internal/policy", "internal/search/index", "internal/store", "internal/store/sqlite", "internal/store/postgres", "internal/synth", "internal/testkit", "internal/testkit/stores"}, "loads in its own process, to profile the load and to open directories without rules"},
	{"bench/soak/search", []string{"internal/blob", "internal/conformance", "internal/search/index", "internal/searchtest/compare", "internal/store", "internal/testkit/stores"}, "compares in the store, below HTTP"},
	{"bench/soak/rules", []string{"bench/soak", "internal/conformance", "internal/failpoint", "internal/fhir", "internal/load", "internal/rulestest", "internal/rulestest/compare", "internal/search/index", "internal/store", "internal/testkit", "internal/testkit/stores"}, "compares in the store, below HTTP, and the program as a user does"},
	{"bench/search", []string{"internal/conformance", "internal/fhir", "internal/policy", "internal/search", "internal/search/index", "internal/store", "internal/store/sqlite", "internal/store/postgres", "internal/testkit", "internal/testkit/stores"}, "measures searches in the store, below HTTP"},
	{"bench/soak", []string{"internal/conformance", "internal/load", "internal/testkit", "internal/testkit/pgtest", "internal/damage", "internal/failpoint", "internal/fhir", "internal/store", "internal/store/sqlrows", "internal/store/sqlite", "internal/store/postgres"}, "runs the program; removes resources in the store, since no command does"},
	{"bench/soak/damage/postgres", []string{"bench/soak", "internal/testkit"}, "soaks as a program"},
	{"bench/soak/*", []string{"bench/soak", "internal/testkit", "internal/failpoint"}, "soaks as programs"},
	{"bench/*", []string{"internal/testkit"}, "measures the program as a user does"},
	{"internal/r4/generate", nil, "writes the tables of r4 from the published definitions"},
	{"internal/importtest", nil, "reads source text only"},
	{"internal/reqtrace", nil, "reads tests and documents as text"},
}

// TestDirections checks the imports of each package against its rule.
func TestDirections(t *testing.T) {
	used := map[string]bool{}
	for pkg, imports := range packages(t, root) {
		r, ok := ruleFor(pkg)
		if !ok {
			t.Errorf("package %s is not in the table: add it to importtest with its reason", pkg)
			continue
		}
		used[r.pkg] = true
		for _, imported := range imports {
			if !slices.Contains(r.may, "*") && !slices.Contains(r.may, imported) {
				t.Errorf("%s must not import %s (%s): move the code, or change the table and say why", pkg, imported, r.reason)
			}
		}
	}
	for _, r := range allRules() {
		if !used[r.pkg] {
			t.Errorf("the table has %s, which does not exist: delete the row", r.pkg)
		}
	}
}

// TestLevels checks that the table allows imports only from a higher to a lower level.
func TestLevels(t *testing.T) {
	level := map[string]int{}
	for n, rules := range levels {
		for _, r := range rules {
			level[r.pkg] = n + 1
		}
	}
	for n, rules := range levels {
		for _, r := range rules {
			for _, imported := range r.may {
				if imported == "*" {
					continue
				}
				if below, ok := level[imported]; !ok || below > n {
					t.Errorf("%s, on level %d, may import %s, on level %d: an import only goes down (0: only for tests)", r.pkg, n+1, imported, below)
				}
			}
		}
	}
}

// TestDrawing checks the drawing of the levels in docs/tour.md.
func TestDrawing(t *testing.T) {
	const begin, end = "<!-- levels: go test ./internal/importtest -update -->\n", "<!-- end of levels -->\n"
	path := filepath.Join(root, "docs", "tour.md")
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(page), begin)
	_, after, closed := strings.Cut(rest, end)
	if !ok || !closed {
		t.Fatalf("%s: the marks around the drawing are missing: %s%s", path, begin, end)
	}
	golden.Check(t, path, before+begin+drawing()+end+after)
}

// drawing draws the levels as a block of Markdown, the highest level first.
func drawing() string {
	const width = 96
	var b strings.Builder
	b.WriteString("\n```text\n")
	for n, rules := range slices.Backward(levels) {
		line := fmt.Sprintf("%2d ", n+1)
		for _, r := range rules {
			name := "  " + strings.TrimPrefix(r.pkg, "internal/")
			if len(line)+len(name) > width {
				b.WriteString(line + "\n")
				line = "   "
			}
			line += name
		}
		b.WriteString(line + "\n")
	}
	b.WriteString("```\n\n")
	return b.String()
}

func allRules() []rule { return append(slices.Concat(levels...), tests...) }

func ruleFor(pkg string) (rule, bool) {
	for _, r := range allRules() {
		if ok, _ := filepath.Match(r.pkg, pkg); ok {
			return r, true
		}
	}
	return rule{}, false
}

// packages returns, for each package of muster, the packages of muster that it imports outside
// tests. It leaves out packages that have only tests, except this one.
func packages(t *testing.T, root string) map[string][]string {
	t.Helper()
	found := map[string][]string{"internal/importtest": nil}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() && path != root && (strings.HasPrefix(name, ".") || name == "testdata" || name == "tools") {
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
