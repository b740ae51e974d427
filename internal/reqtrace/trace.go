// Package reqtrace follows requirements to the tests that prove them.
//
// docs/requirements.tsv lists the guide's requirements with their ids, and
// docs/decided.tsv those that muster decides otherwise, each with its reason.
// Tests name ids: a Go test in a string literal that holds only ids ("KO-01" or
// "KO-01 KO-02"), a text script in a line that starts with "req". [Page] joins the three
// into docs/conformance.md. The package's test compares the page with the tree.
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

// State is what the page says of a requirement.
type State string

// The states. A requirement that is decided otherwise may have tests too: they
// prove the decision.
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
}

// Page writes docs/conformance.md for the tree below root. It is an error when a
// test or a decision names an id that docs/requirements.tsv does not have.
func Page(root string) ([]byte, error) {
	requirements, err := table(filepath.Join(root, "docs", "requirements.tsv"), 3)
	if err != nil {
		return nil, err
	}
	decisions, err := table(filepath.Join(root, "docs", "decided.tsv"), 2)
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
	decided := map[string]string{}
	for _, d := range decisions {
		if !known[d[0]] {
			return nil, fmt.Errorf("docs/decided.tsv names %s, which docs/requirements.tsv does not have", d[0])
		}
		decided[d[0]] = d[1]
	}
	for id, tests := range named {
		if !known[id] {
			return nil, fmt.Errorf("%s names %s, which docs/requirements.tsv does not have", tests[0], id)
		}
	}

	var page bytes.Buffer
	page.WriteString("# Conformance\n\nGenerated from the ids that tests name; do not edit. Update with\n`go test ./internal/reqtrace -update`. " +
		"The requirements are those of the Health Connect Australia\nProvider Directory guide, in our words.\n\n" +
		"| area | proven | decided otherwise | open |\n| --- | --- | --- | --- |\n")
	var body bytes.Buffer
	for _, area := range areas {
		count := map[State]int{}
		fmt.Fprintf(&body, "\n## %s\n\n| id | level | requirement | state | tests or reason |\n| --- | --- | --- | --- | --- |\n", area.title)
		for _, r := range requirements {
			if !strings.HasPrefix(r[0], area.prefix+"-") {
				continue
			}
			state, evidence := Open, ""
			if tests := named[r[0]]; len(tests) > 0 {
				state, evidence = Proven, strings.Join(tests, "<br>")
			}
			if reason := decided[r[0]]; reason != "" {
				if state == Proven {
					reason += "<br>" + evidence
				}
				state, evidence = Decided, reason
			}
			count[state]++
			fmt.Fprintf(&body, "| %s | %s | %s | %s | %s |\n", r[0], r[1], strings.ReplaceAll(r[2], "|", `\|`), state, evidence)
		}
		fmt.Fprintf(&page, "| %s | %d | %d | %d |\n", area.title, count[Proven], count[Decided], count[Open])
	}
	page.Write(body.Bytes())
	return page.Bytes(), nil
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

// Named returns for each requirement id the places that name it: "file: Test" for
// Go tests, the file for scripts. Places are sorted and unique.
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

// fromGo finds the string literals of a Go test file that are lists of ids.
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

// fromScript finds the lines "req ID…" of a text script, with or without a # before.
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
