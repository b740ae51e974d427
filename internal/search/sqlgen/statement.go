package sqlgen

import (
	"strconv"
	"strings"
)

// Statement is the text of a query and its arguments, in the order of the
// question marks.
type Statement struct {
	SQL  string
	Args []any
}

// writer collects a statement.
type writer struct {
	text    strings.Builder
	args    []any
	aliases int
}

// add writes text and takes the arguments of its question marks.
func (w *writer) add(text string, args ...any) {
	w.text.WriteString(text)
	w.args = append(w.args, args...)
}

// alias returns the next name for a table: t1, t2, …
func (w *writer) alias() string {
	w.aliases++
	return "t" + strconv.Itoa(w.aliases)
}
