package sqlgen

import (
	"encoding/json"
	"unicode/utf8"

	"muster/internal/fhir"
	"muster/internal/search/index"
	"muster/internal/search/plan"
	"muster/internal/store"
)

// cost ranks the conditions that can drive: the smaller, the fewer rows are to be
// expected. It is a guess from the kind of condition alone, for where counts say
// nothing.
type cost int

const (
	byID cost = iota
	byIdentity
	byCode
	byText
	byCommit
	never
)

// mostAlternatives is how many selections one UNION ALL may join: SQLite's limit.
const mostAlternatives = 500

// chooseDriver returns the place of the condition that drives, or -1 when none
// can: the one with the smallest count if there are counts, and of equals the
// first of the cheapest.
func chooseDriver(nodes []plan.Node, counts []int64) int {
	at, best, fewest := -1, never, int64(0)
	for i, n := range nodes {
		c := driveCost(n)
		if c == never {
			continue
		}
		rows := int64(0)
		if len(counts) > 0 {
			rows, counts = counts[0], counts[1:]
		}
		if at < 0 || rows < fewest || rows == fewest && c < best {
			at, best, fewest = i, c, rows
		}
	}
	return at
}

func driveCost(n plan.Node) cost {
	switch n := n.(type) {
	case plan.IDs:
		return byID
	case plan.Reference:
		if n.ID != "" {
			return byIdentity
		}
	case plan.URI:
		return byIdentity
	case plan.Token:
		if n.Code != nil {
			return byCode
		}
	case plan.String:
		if n.Exact || n.Text != "" {
			return byText
		}
	case plan.Since:
		return byCommit
	case plan.Or:
		return worst(n)
	}
	return never
}

// worst is the cost of an Or: it drives when each alternative can.
func worst(or plan.Or) cost {
	nodes := alternatives(nil, or)
	if len(nodes) > mostAlternatives {
		return never
	}
	c := byID
	for _, n := range nodes {
		c = max(c, driveCost(n))
	}
	return c
}

// alternatives lists the conditions of which one must hold.
func alternatives(dst []plan.Node, n plan.Node) []plan.Node {
	or, ok := n.(plan.Or)
	if !ok {
		return append(dst, n)
	}
	for _, part := range or {
		dst = alternatives(dst, part)
	}
	return dst
}

// set writes a selection of the row keys for which a driving condition holds, in
// no order and some of them repeatedly.
func (w *writer) set(n plan.Node, t fhir.Type) {
	nodes := alternatives(nil, n)
	if len(nodes) == 0 {
		w.add("  SELECT 0 WHERE false")
	}
	for i, n := range nodes {
		if i > 0 {
			w.add("\n  UNION ALL\n")
		}
		w.keys(n, t)
	}
}

// keys writes the selection for one condition, through a value-first index.
func (w *writer) keys(n plan.Node, t fhir.Type) {
	a := w.alias()
	switch n := n.(type) {
	case plan.IDs:
		ids := w.alias()
		w.add("  SELECT "+a+".row_key FROM json_each(?) AS "+ids+" CROSS JOIN resource AS "+a+
			" INDEXED BY resource_id ON "+a+".type = ? AND "+a+".id = "+ids+".value", asJSON(n), int64(t))
	case plan.Since:
		w.add("  SELECT "+a+".row_key FROM resource AS "+a+" INDEXED BY resource_committed WHERE "+
			a+".type = ? AND "+a+".committed > ?", int64(t), int64(n.After))
	default:
		w.add("  SELECT " + a + ".row_key FROM " + indexed(a, n) + " WHERE ")
		w.run(a, n, t)
	}
}

// indexed writes the table of an entry condition with its value-first index.
func indexed(a string, n plan.Node) string {
	table := tables[kindOf(n)]
	return table + " AS " + a + " INDEXED BY " + table + "_value"
}

// run writes the condition on the entries of one type.
func (w *writer) run(a string, n plan.Node, t fhir.Type) {
	first, last := store.KeyRange(t)
	w.entry(a, n)
	w.add(" AND "+a+".row_key BETWEEN ? AND ?", int64(first), int64(last))
}

// ordered reports whether the condition fixes all of an index but the row key.
func ordered(n plan.Node) bool {
	switch n := n.(type) {
	case plan.Token:
		return n.System != nil && n.Code != nil
	case plan.String:
		return n.Exact
	case plan.Reference:
		return n.ID != "" && n.Type != ""
	case plan.URI:
		return true
	}
	return false
}

// tables are the index tables by kind.
var tables = map[index.Kind]string{
	index.Token:     "ix_token",
	index.String:    "ix_string",
	index.Date:      "ix_date",
	index.Reference: "ix_reference",
	index.URI:       "ix_uri",
}

func kindOf(n plan.Node) index.Kind {
	switch n := n.(type) {
	case plan.Token:
		return index.Token
	case plan.String:
		return index.String
	case plan.Date:
		return index.Date
	case plan.Reference:
		return index.Reference
	case plan.Present:
		return n.Kind
	default:
		return index.URI
	}
}

// after returns the smallest text that is greater than every text with the
// prefix; false means there is none.
func after(prefix string) (string, bool) {
	for len(prefix) > 0 {
		r, size := utf8.DecodeLastRuneInString(prefix)
		prefix = prefix[:len(prefix)-size]
		switch {
		case r == 0xD7FF:
			return prefix + "\uE000", true
		case r < utf8.MaxRune:
			return prefix + string(r+1), true
		}
	}
	return "", false
}

func asJSON(ids []string) string {
	text, err := json.Marshal(ids)
	if err != nil {
		return "[]" // a list of strings can always be written
	}
	return string(text)
}
