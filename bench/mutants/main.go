// Command mutants removes rules from the code, one at a time, and checks that a test that
// names the requirement fails.
//
//	go run ./bench/mutants [ID…]
//
// The rules are in bench/mutants/mutants.txt: the ids of the requirements, the file, the
// text to remove, its replacement, and the tests to run. The source tree is not changed:
// the compiler reads the changed file through an overlay.
//
// A rule is "caught" if for each of its ids a test fails that names the id: in its name,
// in an attribute, or in its output. It is "unnamed" if tests fail, but none of them
// names the id, and "SURVIVED" if all tests pass. Without ids as arguments, the command
// also lists the requirements that no rule in the list covers.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// mutant is a change that removes one rule.
type mutant struct {
	ids      []string // requirements that the rule implements
	file     string
	old, new string
	tests    []string // arguments of go test: packages, then -run and a pattern
	line     int      // line number in the list
}

func main() {
	list := flag.String("list", "bench/mutants/mutants.txt", "list of rules")
	flag.Parse()
	mutants, err := read(*list)
	if err != nil {
		fatal(err)
	}
	survivors, err := run(*list, mutants, flag.Args())
	if err != nil {
		fatal(err)
	}
	if flag.NArg() == 0 {
		if err := printMissing(mutants); err != nil {
			fatal(err)
		}
	}
	if survivors > 0 {
		os.Exit(1)
	}
}

func fatal(err error) {
	fmt.Fprintln(os.Stderr, "mutants:", err)
	os.Exit(2)
}

func run(list string, mutants []mutant, only []string) (survivors int, err error) {
	dir, err := os.MkdirTemp("", "mutants")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	tried := 0
	for _, m := range mutants {
		if len(only) > 0 && !slices.ContainsFunc(m.ids, func(id string) bool { return slices.Contains(only, id) }) {
			continue
		}
		tried++
		verdict, failed := m.try(dir)
		if failed != nil {
			err = errors.Join(err, fmt.Errorf("%s:%d: %w", list, m.line, failed))
			continue
		}
		fmt.Printf("%s: %s:%d %s (%s)\n", verdict, list, m.line, strings.Join(m.ids, " "), m.file)
		if verdict != caught {
			survivors++
		}
	}
	fmt.Printf("%d rules removed, %d not caught by a test that names them\n", tried, survivors)
	return survivors, err
}

const caught = "caught"

// try runs the tests of a mutant against the changed file.
func (m mutant) try(dir string) (verdict string, err error) {
	overlay, err := m.change(dir)
	if err != nil {
		return "", err
	}
	out, err := exec.Command("go", append([]string{"test", "-json", "-count=1", "-vet=off", "-overlay", overlay}, m.tests...)...).Output()
	if err == nil {
		return "SURVIVED", nil
	}
	failures := failuresOf(out)
	if len(failures) == 0 {
		return "", fmt.Errorf("no test ran: %w\n%s", err, textOf(out))
	}
	var unnamed []string
	for _, id := range m.ids {
		if !slices.ContainsFunc(failures, func(text string) bool { return strings.Contains(text, id) }) {
			unnamed = append(unnamed, id)
		}
	}
	if len(unnamed) > 0 {
		return "unnamed (" + strings.Join(unnamed, " ") + ")", nil
	}
	return caught, nil
}

// change writes the changed file and returns the name of the overlay that replaces the
// original.
func (m mutant) change(dir string) (overlay string, err error) {
	source, err := os.ReadFile(m.file)
	if err != nil {
		return "", err
	}
	if n := strings.Count(string(source), m.old); m.old == "" || n != 1 {
		return "", fmt.Errorf("the text to remove occurs %d times in %s, want once", n, m.file)
	}
	changed := filepath.Join(dir, "changed.go")
	if err := os.WriteFile(changed, []byte(strings.Replace(string(source), m.old, m.new, 1)), 0o600); err != nil {
		return "", err
	}
	path, err := filepath.Abs(m.file)
	if err != nil {
		return "", err
	}
	text, err := json.Marshal(map[string]map[string]string{"Replace": {path: changed}})
	if err != nil {
		return "", err
	}
	overlay = filepath.Join(dir, "overlay.json")
	return overlay, os.WriteFile(overlay, text, 0o600)
}

// failuresOf returns the name, the attributes and the output of each failed test, from
// the output of go test -json. It ignores lines that are not JSON.
func failuresOf(out []byte) (failures []string) {
	output := map[string]string{}
	for line := range bytes.Lines(out) {
		var event struct{ Action, Package, Test, Output, Key, Value string }
		if json.Unmarshal(line, &event) != nil || event.Test == "" {
			continue
		}
		test := event.Package + " " + event.Test
		switch event.Action {
		case "attr":
			output[test] += event.Value + "\n"
		case "output":
			if !strings.HasPrefix(event.Output, "=== ") { // these lines repeat names and attributes
				output[test] += event.Output
			}
		case "fail":
			failures = append(failures, test+"\n"+output[test])
		}
	}
	return failures
}

// textOf returns the plain text in the output of go test -json, such as the errors of the
// compiler.
func textOf(out []byte) string {
	var text strings.Builder
	for line := range bytes.Lines(out) {
		var event struct{ Output string }
		if json.Unmarshal(line, &event) == nil {
			text.WriteString(event.Output)
		}
	}
	return text.String()
}

// printMissing prints the requirements of exports that no rule in the list covers and that
// docs/decided.tsv and docs/open.tsv do not exclude.
func printMissing(mutants []mutant) error {
	covered := map[string]bool{}
	for _, m := range mutants {
		for _, id := range m.ids {
			covered[id] = true
		}
	}
	for _, file := range []string{"docs/decided.tsv", "docs/open.tsv"} {
		excluded, err := firstColumn(file)
		if err != nil {
			return err
		}
		for _, id := range excluded {
			covered[id] = true
		}
	}
	required, err := firstColumn("docs/requirements.tsv")
	if err != nil {
		return err
	}
	var missing []string
	for _, id := range required {
		if area, _, _ := strings.Cut(id, "-"); slices.Contains(areas, area) && !covered[id] {
			missing = append(missing, id)
		}
	}
	fmt.Printf("%d requirements without a rule: %s\n", len(missing), strings.Join(missing, " "))
	return nil
}

// areas are the prefixes of the requirements of exports.
var areas = []string{"KO", "PO", "MA", "RE", "DE", "RL", "VI", "ER", "HD", "FM"}

// firstColumn returns the first column of a table in docs.
func firstColumn(path string) (ids []string, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(text)) {
		if id, _, found := strings.Cut(line, "\t"); found && !strings.HasPrefix(id, "#") {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// read parses the list. A mutant is a line "== IDS", followed by "file PATH", "test
// ARGS", and lines "-text" and "+text" as in a diff.
func read(path string) ([]mutant, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var all []mutant
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		line := lines.Text()
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if ids, ok := strings.CutPrefix(line, "== "); ok {
			all = append(all, mutant{ids: strings.Fields(ids), line: n})
			continue
		}
		if len(all) == 0 {
			return nil, fmt.Errorf("%s:%d: the line is before the first mutant: start a mutant with ==", path, n)
		}
		m := &all[len(all)-1]
		switch word, rest, _ := strings.Cut(line, " "); {
		case word == "file":
			m.file = rest
		case word == "test":
			m.tests = strings.Fields(rest)
		case strings.HasPrefix(line, "-"):
			m.old = join(m.old, line[1:])
		case strings.HasPrefix(line, "+"):
			m.new = join(m.new, line[1:])
		default:
			return nil, fmt.Errorf("%s:%d: unknown line: start it with ==, file, test, - or +", path, n)
		}
	}
	return all, lines.Err()
}

func join(text, line string) string {
	if text == "" {
		return line
	}
	return text + "\n" + line
}
