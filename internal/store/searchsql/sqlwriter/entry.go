package sqlwriter

import (
	"unicode/utf8"

	"muster/internal/search/index"
	"muster/internal/search/plan"
)

// indexTable describes an index table.
type indexTable struct {
	name string
	key  string // the first column after the parameter, which _sort orders by
	rest string // the column after that, if any
}

var indexTables = map[index.Kind]indexTable{
	index.Token:     {"ix_token", "code", "system"},
	index.String:    {"ix_string", "norm", "exact"},
	index.Date:      {"ix_date", "low", "high"},
	index.Reference: {"ix_reference", "id", "type"},
	index.URI:       {"ix_uri", "value", ""},
	index.Number:    {"ix_number", "value", ""},
	index.Location:  {"ix_position", "cell", "lat"},
}

// entryOf returns the parameter and the kind of the index entries that a condition
// tests. It returns false if the node does not test a single entry.
func entryOf(n plan.Node) (param int, kind index.Kind, ok bool) {
	switch n := n.(type) {
	case plan.Token:
		return n.Param, index.Token, true
	case plan.String:
		return n.Param, index.String, true
	case plan.TokenPart:
		return n.Param, index.String, true
	case plan.Date:
		return n.Param, index.Date, true
	case plan.Reference:
		return n.Param, index.Reference, true
	case plan.Number:
		return n.Param, index.Number, true
	case plan.Near:
		return n.Param, index.Location, true
	case plan.Present:
		return n.Param, n.Kind, true
	case plan.URI:
		return n.Param, index.URI, true
	}
	return 0, 0, false
}

func kindOf(n plan.Node) index.Kind {
	_, kind, _ := entryOf(n)
	return kind
}

const nameID = "(SELECT name_id FROM name WHERE text = ?)"

// writeEntry writes the condition on a row of an index table. param is its parameter
// column, as [Dialect.paramOfRow] returns it if the row is known.
func (w *writer) writeEntry(f *fragment, alias, param string, n plan.Node) {
	switch n := n.(type) {
	case plan.Token:
		f.add(param+" = ?", n.Param)
		if n.Code != nil {
			f.add(" AND "+alias+".code = ?", index.Short(*n.Code))
		}
		if n.System != nil {
			f.add(" AND "+alias+".system = "+nameID, index.Short(*n.System))
		}
	case plan.TokenPart:
		f.add(param+" = ? AND "+w.dialect.contains(alias+".norm"), n.Param, index.Fold(n.Text))
		writeSystem(f, alias, n)
	case plan.String:
		f.add(param+" = ?", n.Param)
		w.writeString(f, alias, n)
	case plan.Date:
		f.add(param+" = ? AND ", n.Param)
		compareDate(f, alias, n.Compare)
	case plan.Reference:
		f.add(param+" = ?", n.Param)
		if n.ID != "" {
			f.add(" AND "+alias+".id = ?", index.Short(n.ID))
		}
		if n.Type != "" {
			f.add(" AND "+alias+".type = "+nameID, index.Short(n.Type))
		}
	case plan.URI:
		f.add(param+" = ? AND "+alias+".value = ?", n.Param, index.Short(n.Value))
	case plan.Number:
		f.add(param+" = ? AND "+alias+".value "+operators[n.Prefix]+" ?", n.Param, n.Value)
	case plan.Near:
		f.add(param+" = ? AND ", n.Param)
		writeHaversine(f, alias, n.Point)
		f.add(" <= ?", index.HaversineOf(n.Meters))
	case plan.Present:
		f.add(param+" = ?", n.Param)
	}
}

var operators = map[plan.Prefix]string{
	plan.EQ: "=", plan.NE: "<>", plan.GT: ">", plan.LT: "<", plan.GE: ">=", plan.LE: "<=",
}

// writeString writes the condition on the text of a string entry.
func (w *writer) writeString(f *fragment, alias string, n plan.String) {
	switch {
	case n.Exact:
		f.add(" AND "+alias+".norm = ? AND "+alias+".exact = ?", index.Short(index.Fold(n.Text)), index.Short(n.Text))
	case n.Contains:
		f.add(" AND "+w.dialect.contains(alias+".norm"), n.Text)
	default:
		writePrefix(f, alias+".norm", n.Text)
	}
}

// writeSystem writes the condition on the system of a token in a substring search of
// codes: see [index.TokenText].
func writeSystem(f *fragment, alias string, n plan.TokenPart) {
	if n.System != nil {
		writePrefix(f, alias+".exact", index.TokenPrefix(*n.System))
	}
}

// writePrefix writes the condition that a column begins with the prefix.
func writePrefix(f *fragment, column, prefix string) {
	f.add(" AND "+column+" >= ?", prefix)
	if end, ok := prefixEnd(prefix); ok {
		f.add(" AND "+column+" < ?", end)
	}
}

// prefixEnd returns the smallest text that is greater than all texts with the prefix,
// and false if there is none.
func prefixEnd(prefix string) (string, bool) {
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

// writeHaversine writes the [index.Position.Haversine] of the position of an entry and
// a point.
func writeHaversine(f *fragment, alias string, p index.Position) {
	f.add("(power(sin(radians("+alias+".lat - ?) / 2), 2) + cos(radians("+alias+".lat)) * cos(radians(?)) * power(sin(radians("+alias+".lon - ?) / 2), 2))",
		p.Latitude, p.Latitude, p.Longitude)
}
