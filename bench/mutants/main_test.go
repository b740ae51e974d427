package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestMutantsApply checks that the text that each mutant removes occurs exactly once in its
// file.
func TestMutantsApply(t *testing.T) {
	mutants, err := read("mutants.txt")
	if err != nil {
		t.Fatal(err)
	}
	if len(mutants) == 0 {
		t.Fatal("mutants.txt has no mutants")
	}
	for _, m := range mutants {
		source, err := os.ReadFile(filepath.Join("..", "..", m.file))
		if err != nil {
			t.Errorf("mutants.txt:%d: %v", m.line, err)
			continue
		}
		if n := strings.Count(string(source), m.old); m.old == "" || n != 1 {
			t.Errorf("mutants.txt:%d: the text to remove occurs %d times in %s, want once", m.line, n, m.file)
		}
		if len(m.ids) == 0 || len(m.tests) == 0 || m.old == m.new {
			t.Errorf("mutants.txt:%d: the mutant is incomplete: give it ids, tests and a change", m.line)
		}
	}
}
