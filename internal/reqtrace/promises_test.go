package reqtrace

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	testName   = regexp.MustCompile("`((?:Test|Fuzz)[A-Za-z0-9]+)`")
	suiteName  = regexp.MustCompile("`([A-Z][a-z]+[A-Za-z]*)`")
	pathName   = regexp.MustCompile("`(?:go run \\./)?((?:tests|bench|internal|docs|cmd)/[A-Za-z0-9_./*-]+)")
	declared   = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)[A-Za-z0-9]+)\(`)
	suiteEntry = regexp.MustCompile(`\{"([A-Za-z]+)", test[A-Za-z]+\}`)
)

// TestNamedTestsExist checks that the tests exist that the pages of decisions and the page on
// security name.
func TestNamedTestsExist(t *testing.T) {
	root := filepath.Join("..", "..")
	tests, suite := testsOf(t, root)
	pages, err := filepath.Glob(filepath.Join(root, "docs", "decisions", "*.md"))
	if err != nil || len(pages) == 0 {
		t.Fatalf("no pages: %v", err)
	}
	security := filepath.Join(root, "docs", "security.md")
	for _, page := range append(pages, security) {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Base(page)
		for _, m := range testName.FindAllStringSubmatch(string(text), -1) {
			if !tests[m[1]] {
				t.Errorf("%s names %s, which does not exist", name, m[1])
			}
		}
		for _, m := range pathName.FindAllStringSubmatch(string(text), -1) {
			if found, _ := filepath.Glob(filepath.Join(root, filepath.FromSlash(m[1]))); len(found) == 0 {
				t.Errorf("%s names %s, which does not exist", name, m[1])
			}
		}
	}
	promises(t, filepath.Join(root, "docs", "decisions", "0011-promises.md"), 2, tests, suite)
	promises(t, security, 4, tests, suite)
}

// promises checks the rows of tables of promises, whose last column names the tests: each row
// names one, and each name of an entry of the store's test suite exists.
func promises(t *testing.T, page string, columns int, tests, suite map[string]bool) {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	rows := 0
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(line, "|")
		if len(cells) != columns+2 || strings.Contains(cells[1], "---") || strings.TrimSpace(cells[1]) == "promise" {
			continue
		}
		rows++
		named := 0
		for _, m := range suiteName.FindAllStringSubmatch(cells[columns], -1) {
			named++
			if !tests[m[1]] && !suite[m[1]] {
				t.Errorf("%s: the table names the test %s, which does not exist", page, m[1])
			}
		}
		if named == 0 && !pathName.MatchString(cells[columns]) {
			t.Errorf("%s: no test is named for the promise: %s", page, strings.TrimSpace(cells[1]))
		}
	}
	if rows < 10 {
		t.Errorf("%s: %d promises: the table was not read", page, rows)
	}
}

// testsOf returns the names of the tests of the tree, and of the entries of the store's test suite.
func testsOf(t *testing.T, root string) (tests, suite map[string]bool) {
	t.Helper()
	tests, suite = map[string]bool{}, map[string]bool{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && path != root && strings.HasPrefix(d.Name(), ".") {
			return fs.SkipDir
		}
		isTest := strings.HasSuffix(path, "_test.go")
		isSuite := strings.HasSuffix(path, ".go") && filepath.Base(filepath.Dir(path)) == "storetest"
		if !isTest && !isSuite {
			return nil
		}
		source, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, m := range declared.FindAllSubmatch(source, -1) {
			tests[string(m[1])] = true
		}
		if isSuite {
			for _, m := range suiteEntry.FindAllSubmatch(source, -1) {
				suite[string(m[1])] = true
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return tests, suite
}
