package rules

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"muster/internal/rulestest"
)

// example is a script with its place.
type example struct {
	name, text string
	first      int // number of its first line
}

// examples returns the scripts of this folder.
func examples(t *testing.T) (all []example) {
	t.Helper()
	files, err := filepath.Glob("*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no scripts", err)
	}
	for _, file := range files {
		all = append(all, example{strings.TrimSuffix(file, ".txt"), read(t, file), 1})
	}
	return all
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestScriptsOnModel plays all scripts on the model alone.
func TestScriptsOnModel(t *testing.T) {
	for _, e := range examples(t) {
		t.Run(e.name, func(t *testing.T) {
			s, err := rulestest.ParseScript(e.text, e.first, "")
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Play(func(rulestest.Step, *rulestest.History) error { return nil }); err != nil {
				t.Error(err)
			}
		})
	}
}
