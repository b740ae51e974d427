package failpoint

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var call = regexp.MustCompile(`failpoint\.Inject\([^,]+, "([^"]+)"\)`)

// TestAllMatchesCode checks that All lists each failpoint of the code once, and no other.
func TestAllMatchesCode(t *testing.T) {
	used := map[string]bool{}
	root := filepath.Join("..", "..")
	for _, top := range []string{"internal", "cmd"} {
		err := filepath.WalkDir(filepath.Join(root, top), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			for _, found := range call.FindAllStringSubmatch(string(text), -1) {
				used[found[1]] = true
			}
			if n := strings.Count(string(text), "failpoint.Inject("); n != len(call.FindAllString(string(text), -1)) {
				t.Errorf("%s: a failpoint whose name is not a string literal", path)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	var names []string
	for _, p := range All {
		names = append(names, p.Name)
		if !used[p.Name] {
			t.Errorf("%s is in All, but not in the code", p.Name)
		}
	}
	for name := range used {
		if !slices.Contains(names, name) {
			t.Errorf("the code has the failpoint %s: add it to All, and to the flow test that kills there", name)
		}
	}
	if slices.Sort(names); len(slices.Compact(names)) != len(All) {
		t.Error("a failpoint is listed twice")
	}
}

// TestArmFromEnvironment checks that invalid items are errors: a misspelt name would arm
// nothing, and a test would wait forever.
func TestArmFromEnvironment(t *testing.T) {
	for _, c := range []struct {
		armed, want string
	}{
		{"", ""},
		{"export.accepted=kill,load.batch@3=kill", ""},
		{"export.acepted=kill", "no such failpoint"},
		{"export.accepted=stop", ""},
		{"export.accepted@0=kill", "whole number from 1"},
		{"export.accepted=explode", "write NAME=kill"},
	} {
		t.Setenv(Variable, c.armed)
		err := ArmFromEnvironment()
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: error %v, want %q", c.armed, err, c.want)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	clear(hooks)
	armed.Store(0)
}
