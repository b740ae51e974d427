// Package reqtrace generates docs/conformance.md, which lists the requirements of the guide with
// the tests that prove them.
//
// docs/requirements.tsv contains the requirements with their ids, docs/decided.tsv those that
// muster implements otherwise, with the reason, and docs/open.tsv those that do not hold yet or
// hold only in part, with what is missing. Tests name ids: a Go test in a string literal of ids
// only ("KO-01" or "KO-01 KO-02"), a text script in a line that starts with "req". [Page] combines
// the four. The test of the package compares the page with the file.
package reqtrace

import (
	"bufio"
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Requirement is one row of docs/requirements.tsv.
type Requirement struct{ ID, Level, Text string }

// State is the state of a requirement on the page.
type State string

// The states. A requirement that is decided otherwise may also have tests: they prove the
// decision. An open requirement may have tests too: they prove the part that holds.
const (
	Proven  State = "proven"
	Decided State = "decided otherwise"
	Open    State = "open"
)

var areas = []struct{ prefix, title string }{
	{"KO", "Kick-off"}, {"PO", "Status polling"}, {"MA", "Completion manifest"}, {"RE", "Result files"},
	{"DE", "Cancel"}, {"RL", "Rate limits"}, {"VI", "Visibility"}, {"SU", "Suppression and deactivation"},
	{"RM", "Removal list"}, {"SR", "Search"}, {"ST", "Stripped elements"}, {"TR", "Includes and chains"},
	{"PG", "Paging"}, {"RD", "Read"}, {"AU", "Authorisation"}, {"SE", "Transport security"}, {"AD", "Audit"},
	{"ER", "Errors"}, {"HD", "Headers"}, {"FM", "Formats"}, {"CS", "CapabilityStatement"}, {"OB", "Obligations"},
	{"DI", "SMART discovery"}, {"RG", "Clients and keys"}, {"JW", "Client assertions"}, {"TK", "Token endpoint"},
	{"SC", "SMART scopes"}, {"RS", "Access tokens"},
}

// Page returns the text of docs/conformance.md for the tree below root. It returns an error if
// a test, docs/decided.tsv or docs/open.tsv names an id that docs/requirements.tsv does not have,
// or if both files name the same id.
func Page(root string) ([]byte, error) {
	requirements, err := table(filepath.Join(root, "docs", "requirements.tsv"), 3)
	if err != nil {
		return nil, err
	}
	named, err := Named(root)
	if err != nil {
		return nil, err
	}
	known := map[string]bool{}
	for _, r := range requirements {
		known[r[0]] = true
	}
	decided, err := reasons(root, "docs/decided.tsv", known)
	if err != nil {
		return nil, err
	}
	open, err := reasons(root, "docs/open.tsv", known)
	if err != nil {
		return nil, err
	}
	for id := range open {
		if decided[id] != "" {
			return nil, fmt.Errorf("docs/decided.tsv and docs/open.tsv both name %s: write it in one of them", id)
		}
	}
	for id, tests := range named {
		if !known[id] {
			return nil, fmt.Errorf("%s names %s, which docs/requirements.tsv does not have", tests[0], id)
		}
	}

	var page bytes.Buffer
	page.WriteString("# Conformance\n\nGenerated from the ids that tests name; do not edit. To update, run\n`go test ./internal/reqtrace -update`.\n" +
		"The requirements are those of the Health Connect Australia Provider Directory guide and of SMART\nBackend Services, paraphrased.\n\n" +
		"| area | proven | decided otherwise | open |\n| --- | --- | --- | --- |\n")
	var body bytes.Buffer
	for _, area := range areas {
		count := map[State]int{}
		fmt.Fprintf(&body, "\n## %s\n\n| id | level | requirement | state | tests or reason |\n| --- | --- | --- | --- | --- |\n", area.title)
		for _, r := range requirements {
			if !strings.HasPrefix(r[0], area.prefix+"-") {
				continue
			}
			state, evidence := stateOf(decided[r[0]], open[r[0]], named[r[0]])
			count[state]++
			fmt.Fprintf(&body, "| %s | %s | %s | %s | %s |\n", r[0], r[1], strings.ReplaceAll(r[2], "|", `\|`), state, evidence)
		}
		fmt.Fprintf(&page, "| %s | %d | %d | %d |\n", area.title, count[Proven], count[Decided], count[Open])
	}
	page.Write(body.Bytes())
	return page.Bytes(), nil
}

// stateOf returns the state of a requirement and the evidence for it, from its reasons in the two
// files and the tests that name it.
func stateOf(decided, open string, tests []string) (State, string) {
	evidence := slices.DeleteFunc([]string{decided, open, strings.Join(tests, "<br>")}, func(s string) bool { return s == "" })
	state := Open
	switch {
	case decided != "":
		state = Decided
	case open == "" && len(tests) > 0:
		state = Proven
	}
	return state, strings.Join(evidence, "<br>")
}

// reasons reads a file of ids and reasons.
func reasons(root, file string, known map[string]bool) (map[string]string, error) {
	rows, err := table(filepath.Join(root, filepath.FromSlash(file)), 2)
	if err != nil {
		return nil, err
	}
	byID := map[string]string{}
	for _, row := range rows {
		if !known[row[0]] {
			return nil, fmt.Errorf("%s names %s, which docs/requirements.tsv does not have", file, row[0])
		}
		byID[row[0]] = row[1]
	}
	return byID, nil
}

// table reads a file of tab-separated rows with # comments.
func table(path string, columns int) ([][]string, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var rows [][]string
	for n, line := range strings.Split(string(content), "\n") {
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		row := strings.Split(line, "\t")
		if len(row) != columns {
			return nil, fmt.Errorf("%s:%d: %d columns, want %d", path, n+1, len(row), columns)
		}
		rows = append(rows, row)
	}
	return rows, nil
}

var idList = regexp.MustCompile(`^[A-Z]{2}-[0-9]{2}( [A-Z]{2}-[0-9]{2})*$`)

// Named returns the places that name each requirement id: "file: Test" for Go tests, the file
// for scripts. Places are sorted and unique.
func Named(root string) (map[string][]string, error) {
	named := map[string][]string{}
	add := func(ids, place string) {
		for id := range strings.FieldsSeq(ids) {
			if !slices.Contains(named[id], place) {
				named[id] = append(named[id], place)
			}
		}
	}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && path != root && strings.HasPrefix(d.Name(), ".") {
			return fs.SkipDir
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		name = filepath.ToSlash(name)
		switch {
		case strings.HasSuffix(name, "_test.go") || strings.Contains(name, "storetest/") && strings.HasSuffix(name, ".go"):
			return fromGo(path, name, add)
		case strings.HasSuffix(name, ".txt") && (strings.HasPrefix(name, "tests/") || strings.Contains(name, "/testdata/")):
			return fromScript(path, name, add)
		}
		return nil
	})
	for _, places := range named {
		slices.Sort(places)
	}
	return named, err
}

// fromGo adds the string literals of a Go test file that are lists of ids.
func fromGo(path, name string, add func(ids, place string)) error {
	if strings.HasPrefix(name, "internal/reqtrace/") {
		return nil
	}
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	for _, decl := range file.Decls {
		place := name
		if f, ok := decl.(*ast.FuncDecl); ok {
			place += ": " + f.Name.Name
		}
		ast.Inspect(decl, func(n ast.Node) bool {
			if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
				if text, err := strconv.Unquote(lit.Value); err == nil && idList.MatchString(text) {
					add(text, place)
				}
			}
			return true
		})
	}
	return nil
}

// fromScript adds the lines "req ID…" of a text script, with or without a # before them.
func fromScript(path, name string, add func(ids, place string)) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	lines := bufio.NewScanner(bytes.NewReader(content))
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		line := strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(lines.Text()), "#"))
		if ids, ok := strings.CutPrefix(line, "req "); ok && idList.MatchString(strings.TrimSpace(ids)) {
			add(strings.TrimSpace(ids), name)
		}
	}
	return lines.Err()
}
