package searchsql

import (
	"strconv"
	"strings"
)

// Statement is the text of a query and its arguments, in the order of the
// placeholders.
type Statement struct {
	SQL  string
	Args []any
}

// fragment is a piece of a statement in the making: text with a question mark for
// each of its arguments. Pieces are made in any order and put together at the end.
type fragment struct {
	text strings.Builder
	args []any
}

// add writes text and takes the arguments of its question marks.
func (f *fragment) add(text string, args ...any) {
	f.text.WriteString(text)
	f.args = append(f.args, args...)
}

// put writes another fragment behind this one.
func (f *fragment) put(g *fragment) { f.add(g.text.String(), g.args...) }

// and begins the next of several conditions that must all hold.
func (f *fragment) and(separator string) {
	if f.text.Len() > 0 {
		f.add(separator)
	}
}

// statement finishes the text with the placeholders of the dialect.
func (d Dialect) statement(f *fragment) Statement {
	text := f.text.String()
	if d == SQLite {
		return Statement{SQL: text, Args: f.args}
	}
	var b strings.Builder
	pieces := strings.Split(text, "?")
	for i, piece := range pieces {
		b.WriteString(piece)
		if i < len(pieces)-1 {
			b.WriteString("$" + strconv.Itoa(i+1))
		}
	}
	return Statement{SQL: b.String(), Args: f.args}
}

// writer numbers the aliases of one statement.
type writer struct {
	d       Dialect
	aliases int
}

// alias returns the next name for a table: t1, t2, …
func (w *writer) alias() string {
	w.aliases++
	return "t" + strconv.Itoa(w.aliases)
}
