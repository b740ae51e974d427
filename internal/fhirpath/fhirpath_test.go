package fhirpath

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/valyala/fastjson"

	"muster/internal/testkit/golden"
)

// TestExpressions runs the cases of testdata/*.txt; testdata/README.md explains
// the format.
func TestExpressions(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases in testdata: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			before, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			after := evaluate(t, string(before))
			golden.Check(t, file, after)
		})
	}
}

// evaluate returns a case file with new results.
func evaluate(t *testing.T, cases string) string {
	var out strings.Builder
	element := fastjson.MustParse(`{}`)
	for line := range strings.Lines(cases) {
		switch {
		case strings.HasPrefix(line, "{"):
			var err error
			if element, err = fastjson.Parse(line); err != nil {
				t.Fatalf("%s: %v", line, err)
			}
		case strings.HasPrefix(line, "= "), strings.HasPrefix(line, "! "):
			continue
		}
		out.WriteString(line)
		if text, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "? "); ok {
			expression, err := Compile(text)
			if err != nil {
				fmt.Fprintf(&out, "! %v\n", err)
				continue
			}
			for _, found := range expression.Append(nil, element) {
				fmt.Fprintf(&out, "= %s\n", found)
			}
		}
	}
	return out.String()
}

func FuzzCompile(f *testing.F) {
	files, _ := filepath.Glob("testdata/*.txt")
	for _, file := range files {
		cases, _ := os.ReadFile(file)
		for line := range strings.Lines(string(cases)) {
			if text, ok := strings.CutPrefix(line, "? "); ok {
				f.Add(strings.TrimSpace(text))
			}
		}
	}
	const resource = `{"resourceType":"A","a":{"b":[{"c":"x"},null,["y"]]},"extension":[{"url":"u","valueString":"v"}],"value":true}`
	f.Fuzz(func(t *testing.T, text string) {
		expression, err := Compile(text)
		if err != nil {
			if !strings.Contains(err.Error(), "at character ") {
				t.Fatalf("%q: the error has no position: %v", text, err)
			}
			return
		}
		element := fastjson.MustParse(resource)
		first := fmt.Sprint(expression.Append(nil, element))
		if again := fmt.Sprint(expression.Append(nil, element)); first != again {
			t.Fatalf("%q found %s, then %s", text, first, again)
		}
	})
}
