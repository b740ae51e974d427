package sqlwriter

import (
	"strconv"
	"strings"

	"muster/internal/store/placeholder"
)

// Statement is the text of a query and its arguments, in the order of the
// placeholders.
type Statement struct {
	SQL  string
	Args []any
}

// fragment is a part of a statement: text with a question mark for each of its
// arguments. Fragments may be written in any order and are joined at the end.
type fragment struct {
	text strings.Builder
	args []any
}

// newFragment returns a fragment with the text and the arguments of its question
// marks.
func newFragment(text string, args ...any) *fragment {
	var f fragment
	f.add(text, args...)
	return &f
}

// add appends text and the arguments of its question marks.
func (f *fragment) add(text string, args ...any) {
	f.text.WriteString(text)
	f.args = append(f.args, args...)
}

// append appends another fragment.
func (f *fragment) append(g *fragment) { f.add(g.text.String(), g.args...) }

// separate appends the separator unless the fragment is empty.
func (f *fragment) separate(separator string) {
	if f.text.Len() > 0 {
		f.add(separator)
	}
}

// statement returns the fragment as a statement with the dialect's placeholders.
func (d Dialect) statement(f *fragment) Statement {
	text := f.text.String()
	if d == PostgreSQL {
		text = placeholder.Number(text)
	}
	return Statement{SQL: text, Args: f.args}
}

// writer holds the state of one statement: its dialect and the number of aliases.
type writer struct {
	dialect Dialect
	aliases int
}

// alias returns the next table alias: t1, t2, …
func (w *writer) alias() string {
	w.aliases++
	return "t" + strconv.Itoa(w.aliases)
}
