package sqlgen

import (
	"muster/internal/search/index"
	"muster/internal/search/plan"
)

// condition writes a node as a check of one row r of table resource.
func (w *writer) condition(n plan.Node) {
	switch n := n.(type) {
	case plan.And:
		w.joined(n, " AND ", "true")
	case plan.Or:
		w.joined(n, " OR ", "false")
	case plan.Not:
		w.add("NOT ")
		w.condition(n.Node)
	case plan.IDs:
		w.add("(r.id IN (SELECT value FROM json_each(?)))", asJSON(n))
	case plan.Updated:
		w.compare("r.last_updated", "(r.last_updated + 1)", n.Compare)
	case plan.Since:
		w.add("(r.committed > ?)", int64(n.After))
	case plan.Visible:
		w.add("(r.visibility & ? = 0)", int64(flags(n)))
	default:
		w.exists(n)
	}
}

// flags are the flags that a resource must not have.
func flags(v plan.Visible) index.Visibility {
	var f index.Visibility
	if v.Active {
		f |= index.Inactive
	}
	if v.NotSuppressed {
		f |= index.Suppressed
	}
	return f
}

// joined writes conditions with a word between them, and empty if there are none.
func (w *writer) joined(nodes []plan.Node, word, empty string) {
	if len(nodes) == 0 {
		w.add(empty)
		return
	}
	if len(nodes) == 1 {
		w.condition(nodes[0])
		return
	}
	// In halves, so that a long list makes no deep expression: SQLite's limit is 1,000.
	half := len(nodes) / 2
	w.add("(")
	w.joined(nodes[:half], word, empty)
	w.add(word)
	w.joined(nodes[half:], word, empty)
	w.add(")")
}

// exists writes the check that the row has an entry, through the row-first table.
func (w *writer) exists(n plan.Node) {
	a, table := w.alias(), tables[kindOf(n)]
	w.add("EXISTS (SELECT 1 FROM " + table + " AS " + a + " INDEXED BY sqlite_autoindex_" + table + "_1 WHERE " +
		a + ".row_key = r.row_key AND ")
	w.entry(a, n)
	w.add(")")
}

const nameID = "(SELECT name_id FROM name WHERE text = ?)"

// entry writes the condition on one row of an index table.
func (w *writer) entry(a string, n plan.Node) {
	switch n := n.(type) {
	case plan.Token:
		w.add(a+".param = ?", n.Param)
		if n.Code != nil {
			w.add(" AND "+a+".code = ?", *n.Code)
		}
		if n.System != nil {
			w.add(" AND "+a+".system = "+nameID, *n.System)
		}
	case plan.String:
		w.add(a+".param = ?", n.Param)
		w.prefix(a, n)
	case plan.Date:
		w.add(a+".param = ? AND ", n.Param)
		w.compare(a+".low", a+".high", n.Compare)
	case plan.Reference:
		w.add(a+".param = ?", n.Param)
		if n.ID != "" {
			w.add(" AND "+a+".id = ?", n.ID)
		}
		if n.Type != "" {
			w.add(" AND "+a+".type = "+nameID, n.Type)
		}
	case plan.URI:
		w.add(a+".param = ? AND "+a+".value = ?", n.Param, n.Value)
	case plan.Present:
		w.add(a+".param = ?", n.Param)
	}
}

// prefix writes the condition on the text of a string entry.
func (w *writer) prefix(a string, n plan.String) {
	if n.Exact {
		w.add(" AND "+a+".norm = ? AND "+a+".exact = ?", index.Fold(n.Text), n.Text)
		return
	}
	w.add(" AND "+a+".norm >= ?", n.Text)
	if end, ok := after(n.Text); ok {
		w.add(" AND "+a+".norm < ?", end)
	}
}

// compare writes a date comparison of the entry from low to before high.
func (w *writer) compare(low, high string, c plan.Comparison) {
	from, to := int64(c.Period.From), int64(c.Period.To)
	switch c.Prefix {
	case plan.NE:
		w.add("("+low+" < ? OR "+high+" > ?)", from, to)
	case plan.GT:
		w.add("("+high+" > ?)", to)
	case plan.LT:
		w.add("("+low+" < ?)", from)
	case plan.GE:
		w.add("("+high+" > ? OR "+low+" >= ? AND "+high+" <= ?)", to, from, to)
	case plan.LE:
		w.add("("+low+" < ? OR "+low+" >= ? AND "+high+" <= ?)", from, from, to)
	case plan.SA:
		w.add("("+low+" >= ?)", to)
	case plan.EB:
		w.add("("+high+" <= ?)", from)
	case plan.AP:
		w.add("("+low+" < ? AND "+high+" > ?)", to, from)
	default: // EQ
		w.add("("+low+" >= ? AND "+high+" <= ?)", from, to)
	}
}
