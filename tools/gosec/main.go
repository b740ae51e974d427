// Command gosec runs gosec on packages. The program of that name takes two minutes of CPU time,
// since it loads each package with all that it depends on and runs a command for each loop; this
// one loads all packages at once, and only the types of their dependencies. Newer versions of
// gosec depend on clients of language models, which take 50 s to build.
//
// It runs the rules that look at the syntax of a package. The rules that it leaves out, and
// those that it leaves out for some packages, are below, with the reason.
package main

import (
	"fmt"
	"io"
	"log"
	"os"
	"strings"

	"github.com/securego/gosec/v2"
	"github.com/securego/gosec/v2/issue"
	"github.com/securego/gosec/v2/rules"
	"golang.org/x/tools/go/packages"
)

// excluded are the rules that do not run, with the reason.
var excluded = map[string]string{
	"G104": "errors that are not checked: staticcheck and the house rule `_ =` cover them; what is left prints to the terminal",
	"G304": "a file whose name is a variable: muster opens the files that its operator names; names in requests go through package blob, which opens them below os.Root",
	"G601": "the address of a loop variable: since Go 1.22 each iteration has its own. The rule runs a command for each loop",
	"G307": "Close in a defer without a check: files that are written are closed with a check, see package blob",
}

// relaxed are the rules that do not run on some packages, by a part of their paths, with the
// reason.
var relaxed = []struct{ rule, path, reason string }{
	{"G204", "/store/postgres", "pg_dump gets the URL that the operator gave; no shell reads it"},
	{"G204", "/testkit", "tests run the program that they built"},
	{"G404", "/internal/blob", "the names of temporary files must differ, not be secret: they are created with O_EXCL"},
	{"G301", "/internal/synth", "synthetic data are not private"},
	{"G306", "/internal/synth", "synthetic data are not private"},
	{"G101", "/store/sqlite", "the constant readSecret is a statement, not a secret"},
	{"G103", "/sqlite/pagesum", "functions of Go in the tables of functions that SQLite calls: the driver has no other way to add a VFS"},
	{"G202", "/store/postgres", "the statement is made of constants and quoted names of the catalogue"},
	{"G202", "/store/sqlite", "the statement is made of constants and of the numbers of search parameters"},
	{"", "muster/bench/", "benchmarks and soaks run on data of their own"},
	{"", "muster/internal/r4/generate", "a generator that a developer runs"},
	{"G404", "/store/storetest", "a test suite: its random numbers must be repeatable"},
	{"G404", "/rulestest", "a test suite: its random numbers must be repeatable"},
	{"G404", "/searchtest", "a test suite: its random numbers must be repeatable"},
	{"", "/testkit", "helpers of tests"},
}

func main() {
	loaded, err := packages.Load(&packages.Config{Mode: mode, Env: os.Environ()}, os.Args[1:]...)
	if err != nil || packages.PrintErrors(loaded) > 0 {
		fmt.Fprintln(os.Stderr, "gosec: the packages cannot be loaded:", err)
		os.Exit(2)
	}
	found := 0
	for _, p := range loaded {
		for _, i := range check(p) {
			found++
			fmt.Printf("%s:%s:%s: %s: %s\n", i.File, i.Line, i.Col, i.RuleID, i.What)
		}
	}
	if found > 0 {
		os.Exit(1)
	}
}

// mode loads the syntax of the named packages, and only the types of those that they import.
const mode = packages.NeedName | packages.NeedFiles | packages.NeedCompiledGoFiles | packages.NeedImports |
	packages.NeedTypes | packages.NeedTypesSizes | packages.NeedSyntax | packages.NeedTypesInfo | packages.NeedExportFile

// check returns the issues of a package.
func check(p *packages.Package) []*issue.Issue {
	var filters []rules.RuleFilter
	for rule := range excluded {
		filters = append(filters, rules.NewRuleFilter(true, rule))
	}
	for _, r := range relaxed {
		if !strings.Contains(p.PkgPath, r.path) {
			continue
		}
		if r.rule == "" {
			return nil
		}
		filters = append(filters, rules.NewRuleFilter(true, r.rule))
	}
	checker := gosec.NewAnalyzer(gosec.NewConfig(), false, true, false, 1, log.New(io.Discard, "", 0))
	checker.LoadRules(rules.Generate(false, filters...).RulesInfo())
	checker.CheckRules(p)
	issues, _, _ := checker.Report()
	return issues
}
