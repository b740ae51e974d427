package query

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"muster/internal/fhir"
	"muster/internal/testkit/golden"
)

// TestGolden holds the reading of each text in testdata; its README tells the form.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden files: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			old, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := rewrite(t, string(old))
			golden.Check(t, file, got)
		})
	}
}

// rewrite returns the file as it should be: comments and questions as they are,
// below each question what the code answers.
func rewrite(t *testing.T, file string) string {
	var out strings.Builder
	for line := range strings.Lines(file) {
		text, isQuery := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "query ")
		switch {
		case isQuery:
			if quoted, err := strconv.Unquote(text); err == nil {
				text = quoted
			}
			out.WriteString(line)
			out.WriteString(answer(t, text))
		case !strings.HasPrefix(line, "  "):
			out.WriteString(line)
		}
	}
	return out.String()
}

// answer prints canonical text and tree, or the problems, or both when only some
// pieces could be read.
func answer(t *testing.T, text string) string {
	var b strings.Builder
	q, err := Parse(text)
	if err == nil {
		fmt.Fprintf(&b, "  text %s\n", q)
		requireSame(t, q)
	}
	for _, p := range q.Params {
		dump(&b, p, "  ")
	}
	issues, _ := fhir.AsIssues(err)
	for _, i := range issues {
		reason := ""
		if i.Reason != "" {
			reason = " (" + string(i.Reason) + ")"
		}
		fmt.Fprintf(&b, "  refused %s%s: %s\n", i.Code, reason, i.Diagnostics)
	}
	return b.String()
}

func dump(b *strings.Builder, p Param, indent string) {
	switch p := p.(type) {
	case Criterion:
		fmt.Fprintf(b, "%s%s", indent, p.Name)
		if p.Modifier != "" {
			fmt.Fprintf(b, " modifier %s", p.Modifier)
		}
		for _, v := range p.Values {
			fmt.Fprintf(b, " %q@%d", v.Parts, v.At.Start)
		}
		b.WriteByte('\n')
	case Chain:
		fmt.Fprintf(b, "%s\n", strings.TrimRight(indent+"to "+p.Ref+" "+p.Type, " "))
		dump(b, p.Next, indent+"  ")
	case Has:
		fmt.Fprintf(b, "%sfrom %s by %s\n", indent, p.Type, p.Ref)
		dump(b, p.Next, indent+"  ")
	case TypeTest:
		fmt.Fprintf(b, "%s%s is %s\n", indent, p.Ref, p.Type)
	}
}
