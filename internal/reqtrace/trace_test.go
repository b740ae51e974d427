package reqtrace

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"muster/internal/testkit/golden"
)

func TestConformancePage(t *testing.T) {
	root := filepath.Join("..", "..")
	page, err := Page(root)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(root, "docs", "conformance.md")
	golden.Check(t, path, string(page))
}

func TestPageRefusesUnknownIDs(t *testing.T) {
	root := t.TempDir()
	write := func(name, content string) {
		t.Helper()
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("docs/requirements.tsv", "KO-01\tmust\tPOST\nKO-02\tmust\tno GET\nKO-03\tmust\tno query\nKO-04\tmust\tPrefer\n")
	write("docs/decided.tsv", "KO-03\tbecause\n")
	write("docs/open.tsv", "KO-04\tnot yet for all\n")
	write("a_test.go", "package a\n\nfunc TestA() { use(\"KO-01 KO-04\") }\n")
	page, err := Page(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"KO-01 | must | POST | proven | a_test.go: TestA", "KO-02 | must | no GET | open", "KO-03 | must | no query | decided otherwise | because",
		"KO-04 | must | Prefer | open | not yet for all<br>a_test.go: TestA"} {
		if !strings.Contains(string(page), want) {
			t.Errorf("the page lacks %q:\n%s", want, page)
		}
	}
	write("docs/open.tsv", "KO-03\tnot yet\n")
	if _, err := Page(root); err == nil || !strings.Contains(err.Error(), "both name KO-03") {
		t.Errorf("an id in both files is accepted: %v", err)
	}
	write("docs/open.tsv", "KO-78\tnot yet\n")
	if _, err := Page(root); err == nil || !strings.Contains(err.Error(), "docs/open.tsv names KO-78") {
		t.Errorf("an unknown id is accepted: %v", err)
	}
	write("docs/open.tsv", "")
	write("tests/http/x.txt", "# req KO-77\n")
	if _, err := Page(root); err == nil || !strings.Contains(err.Error(), "tests/http/x.txt names KO-77") {
		t.Errorf("an unknown id is accepted: %v", err)
	}
}

// TestTour checks that every path that docs/tour.md names in backquotes exists.
func TestTour(t *testing.T) {
	root := filepath.Join("..", "..")
	tour, err := os.ReadFile(filepath.Join(root, "docs", "tour.md"))
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, m := range regexp.MustCompile("`((?:cmd|internal|tests|docs|bench)/[A-Za-z0-9_./-]*)`").FindAllStringSubmatch(string(tour), -1) {
		found++
		if _, err := os.Stat(filepath.Join(root, m[1])); err != nil {
			t.Errorf("docs/tour.md names %s, which does not exist", m[1])
		}
	}
	if found < 10 {
		t.Errorf("docs/tour.md names only %d places", found)
	}
}
