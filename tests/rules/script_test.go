package rules

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"muster/internal/rulestest"
	"muster/internal/rulestest/compare"
)

// example is a script with its place.
type example struct {
	name, text string
	first      int // number of its first line
}

// examples returns the scripts of this folder, and those of the page.
func examples(t *testing.T) (all []example) {
	t.Helper()
	files, err := filepath.Glob("*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no scripts", err)
	}
	for _, file := range files {
		all = append(all, example{strings.TrimSuffix(file, ".txt"), read(t, file), 1})
	}
	return append(all, ofPage(t)...)
}

// page explains the rules with examples.
const page = "../../docs/rules.md"

// ofPage returns the examples of the page, named by the sections in which they are.
func ofPage(t *testing.T) (all []example) {
	t.Helper()
	section := ""
	var now *example
	for n, line := range strings.Split(read(t, page), "\n") {
		heading, isHeading := strings.CutPrefix(line, "### ")
		switch {
		case now != nil && line == "```":
			all, now = append(all, *now), nil
		case now != nil:
			now.text += line + "\n"
		case isHeading:
			section = strings.ToLower(strings.ReplaceAll(heading, " ", "-"))
		case line == "```rules":
			now = &example{"page-" + section, "", n + 2}
		}
	}
	if len(all) < 10 {
		t.Fatalf("%s has only %d examples", page, len(all))
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
			if err := s.Play(func(rulestest.Step, *rulestest.History) error { return nil }, nil); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestScripts plays all scripts on both databases, and compares what clients see after each step
// with the model.
func TestScripts(t *testing.T) {
	onEach(t, func(t *testing.T, c compare.Config) {
		t.Parallel()
		d, err := c.Open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := d.Close(); err != nil {
				t.Error(err)
			}
		})
		for _, e := range examples(t) {
			t.Run(e.name, func(t *testing.T) {
				prefix := e.name + "-"
				s, err := rulestest.ParseScript(e.text, e.first, prefix)
				if err != nil {
					t.Fatal(err)
				}
				comparison, err := compare.Begin(t.Context(), d)
				if err != nil {
					t.Fatal(err)
				}
				err = s.Play(func(step rulestest.Step, h *rulestest.History) error {
					return comparison.Step(t.Context(), []compare.Played{{Step: step, History: h}}, 0)
				}, func(q rulestest.Question) error { return comparison.Ask(t.Context(), q) })
				if err != nil {
					t.Error(err)
				}
			})
		}
	})
}
