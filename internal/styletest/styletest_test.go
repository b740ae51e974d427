// Package styletest checks the language of comments, strings, documents and scripts against a
// list of phrases (phrases.tsv), and the width of Markdown.
//
// Each line of phrases.tsv has three columns: a regular expression, what to write instead, and
// optionally a regular expression of texts in which the phrase is right. An expression that
// starts with ^ is compared with string literals of Go only, for example to find the voice of
// wrapped errors. A phrase belongs in the list only if it is wrong nearly everywhere.
package styletest

import (
	_ "embed"
	"fmt"
	"go/scanner"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

const root = "../.."

//go:embed phrases.tsv
var list string

// phrase is one line of phrases.tsv.
type phrase struct {
	find, except *regexp.Regexp // except may be nil
	instead      string
	literal      bool // for string literals of Go only
}

func phrases(t *testing.T) []phrase {
	t.Helper()
	var all []phrase
	for n, line := range strings.Split(strings.TrimSuffix(list, "\n"), "\n") {
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		columns := strings.Split(line, "\t")
		if len(columns) < 2 || len(columns) > 3 {
			t.Fatalf("phrases.tsv:%d: want two or three columns, got %d", n+1, len(columns))
		}
		p := phrase{instead: columns[1], literal: strings.HasPrefix(columns[0], "^")}
		p.find = compile(t, n, columns[0])
		if len(columns) == 3 {
			p.except = compile(t, n, columns[2])
		}
		all = append(all, p)
	}
	return all
}

func compile(t *testing.T, line int, expression string) *regexp.Regexp {
	t.Helper()
	if !strings.HasPrefix(expression, "^") {
		expression = `\b(?:` + expression + `)\b`
	}
	re, err := regexp.Compile(expression)
	if err != nil {
		t.Fatalf("phrases.tsv:%d: %v", line+1, err)
	}
	return re
}

// matches returns the places of the phrase in a text.
func (p phrase) matches(text string) [][]int {
	found := p.find.FindAllStringIndex(text, -1)
	if len(found) == 0 || p.except == nil {
		return found
	}
	right := p.except.FindAllStringIndex(text, -1)
	var wrong [][]int
	for _, at := range found {
		excepted := false
		for _, r := range right {
			excepted = excepted || r[0] <= at[0] && at[1] <= r[1]
		}
		if !excepted {
			wrong = append(wrong, at)
		}
	}
	return wrong
}

// passage is a text to check. Line breaks are kept, and so are the offsets of lines.
type passage struct {
	text    string
	line    int // of the first character
	literal bool
}

// TestPhrases checks that no phrase of the list occurs.
func TestPhrases(t *testing.T) {
	all := phrases(t)
	files(t, func(path string, data []byte) {
		var passages []passage
		if strings.HasSuffix(path, ".go") {
			passages = goPassages(t, path, data)
		} else {
			passages = []passage{{string(data), 1, false}}
		}
		for _, text := range passages {
			flat := strings.ReplaceAll(text.text, "\n", " ")
			for _, p := range all {
				if p.literal && !text.literal {
					continue
				}
				for _, at := range p.matches(flat) {
					line := text.line + strings.Count(text.text[:at[0]], "\n")
					t.Errorf("%s:%d: %q: write %s", path, line, strings.TrimSpace(flat[at[0]:at[1]]), p.instead)
				}
			}
		}
	})
}

// goPassages returns the groups of comments and the string literals of a Go file.
func goPassages(t *testing.T, path string, source []byte) []passage {
	t.Helper()
	set := token.NewFileSet()
	file := set.AddFile(path, set.Base(), len(source))
	var s scanner.Scanner
	s.Init(file, source, func(at token.Position, message string) { t.Fatalf("%s: %s", at, message) }, scanner.ScanComments)
	var found []passage
	next := 0 // the line that continues the group of comments
	for {
		pos, kind, text := s.Scan()
		line := file.Line(pos)
		switch kind {
		case token.EOF:
			return found
		case token.COMMENT:
			// The slashes become spaces, so that a phrase is found across lines.
			text = strings.Map(func(r rune) rune {
				if r == '/' || r == '*' || r == '\t' {
					return ' '
				}
				return r
			}, text)
			text = strings.Join(strings.Fields(strings.ReplaceAll(text, "\n", " \x00 ")), " ")
			text = strings.ReplaceAll(strings.ReplaceAll(text, " \x00 ", "\n"), "\x00", "\n")
			if line == next {
				last := &found[len(found)-1]
				last.text += "\n" + text
			} else {
				found = append(found, passage{text, line, false})
			}
			next = line + strings.Count(text, "\n") + 1
		case token.STRING:
			value, err := strconv.Unquote(text)
			if err != nil {
				t.Fatalf("%s:%d: %v", path, line, err)
			}
			if text[0] == '"' {
				value = strings.ReplaceAll(value, "\n", " ")
			}
			found, next = append(found, passage{value, line, true}), 0
		case token.SEMICOLON: // the scanner inserts it at the end of a line, also between comments
		default:
			next = 0
		}
	}
}

const width = 100

// TestWidth checks that Markdown wraps at 100 columns. A longer line is right only as a row of
// a table, or if it holds one word that is too long to break, such as a link.
func TestWidth(t *testing.T) {
	files(t, func(path string, data []byte) {
		if !strings.HasSuffix(path, ".md") {
			return
		}
		for n, line := range strings.Split(string(data), "\n") {
			if utf8.RuneCountInString(line) <= width || strings.HasPrefix(line, "|") || !breakable(line) {
				continue
			}
			t.Errorf("%s:%d: %d columns: wrap at %d", path, n+1, utf8.RuneCountInString(line), width)
		}
	})
}

// breakable reports whether a line can be broken: its text has at least two words after its
// indentation and list marker.
func breakable(line string) bool {
	return strings.Contains(strings.TrimLeft(line, " >*-0123456789."), " ")
}

// TestFind checks the search itself.
func TestFind(t *testing.T) {
	p := phrase{find: compile(t, 0, "is no [a-z]+"), except: compile(t, 0, "there is no [a-z]+")}
	for text, want := range map[string]int{"it is no number": 1, "if there is no number": 0, "this no number": 0} {
		if got := len(p.matches(text)); got != want {
			t.Errorf("%q: %d matches, want %d", text, got, want)
		}
	}
	source := "package p\n\n// It goes\n// on.\n\nvar s = \"a\\nb\" // c\n"
	got := fmt.Sprint(goPassages(t, "p.go", []byte(source)))
	if want := fmt.Sprint([]passage{{"It goes\non.", 3, false}, {"a b", 6, true}, {"c", 6, false}}); got != want {
		t.Errorf("passages %s, want %s", got, want)
	}
}

// files calls check with each file that is to be checked: Go, Markdown, scripts and templates,
// outside testdata.
func files(t *testing.T, check func(path string, data []byte)) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, rel := d.Name(), filepath.ToSlash(strings.TrimPrefix(path, root+string(filepath.Separator)))
		if d.IsDir() {
			if path != root && (name == "testdata" || name == "styletest" || strings.HasPrefix(name, ".") && name != ".ci") {
				return fs.SkipDir
			}
			return nil
		}
		switch filepath.Ext(name) {
		case ".go", ".md", ".sh", ".tmpl":
		default:
			if rel != "check" && rel != ".ci/run" {
				return nil
			}
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		check(rel, data)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
