// Package golden compares the results of tests with files. With the flag -update, the tests of
// a package write these files instead: read the difference before you commit it.
package golden

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files instead of comparing with them")

// Update reports whether the tests run with -update.
func Update() bool { return *update }

// Check reports an error if the file at path does not hold got. With -update, it writes the
// file.
func Check(t testing.TB, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s differs (-file +test), to accept it run the test with -update:\n%s", path, diff)
	}
}

// CheckAnswers checks the files that match the pattern, each in a subtest. A file holds
// questions, comments and answers; the lines of an answer begin with two spaces. answer
// returns the answer to another line, or "" if the line is not a question.
func CheckAnswers(t *testing.T, pattern string, answer func(t *testing.T, line string) string) {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden files: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			old, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var b strings.Builder
			for line := range strings.Lines(string(old)) {
				if !strings.HasPrefix(line, "  ") {
					b.WriteString(line + answer(t, strings.TrimSuffix(line, "\n")))
				}
			}
			Check(t, file, b.String())
		})
	}
}
