package searchsql

import (
	"unicode/utf8"

	"muster/internal/search/index"
	"muster/internal/search/plan"
)

// table is an index table.
type table struct {
	name string
	key  string // the first column after the parameter, by which _sort orders
	rest string // the columns after that
}

// tables are the index tables by kind.
var tables = map[index.Kind]table{
	index.Token:     {"ix_token", "code", "system"},
	index.String:    {"ix_string", "norm", "exact"},
	index.Date:      {"ix_date", "low", "high"},
	index.Reference: {"ix_reference", "id", "type"},
	index.URI:       {"ix_uri", "value", ""},
	index.Number:    {"ix_number", "value", ""},
	index.Location:  {"ix_position", "cell", "lat"},
}

// entryOf tells which entries a condition asks for; false for all that are no
// condition on one entry.
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

// entry writes the condition on a row a of an index table; param is its column of
// that name, as [Dialect.param] writes it where the row is known.
func (w *writer) entry(f *fragment, a, param string, n plan.Node) {
	switch n := n.(type) {
	case plan.Token:
		f.add(param+" = ?", n.Param)
		if n.Code != nil {
			f.add(" AND "+a+".code = ?", index.Short(*n.Code))
		}
		if n.System != nil {
			f.add(" AND "+a+".system = "+nameID, index.Short(*n.System))
		}
	case plan.TokenPart:
		f.add(param+" = ? AND "+w.d.contains(a+".norm"), n.Param, index.Fold(n.Text))
		system(f, a, n)
	case plan.String:
		f.add(param+" = ?", n.Param)
		w.text(f, a, n)
	case plan.Date:
		f.add(param+" = ? AND ", n.Param)
		compareDate(f, a, n.Compare)
	case plan.Reference:
		f.add(param+" = ?", n.Param)
		if n.ID != "" {
			f.add(" AND "+a+".id = ?", index.Short(n.ID))
		}
		if n.Type != "" {
			f.add(" AND "+a+".type = "+nameID, index.Short(n.Type))
		}
	case plan.URI:
		f.add(param+" = ? AND "+a+".value = ?", n.Param, index.Short(n.Value))
	case plan.Number:
		f.add(param+" = ? AND "+a+".value "+operators[n.Prefix]+" ?", n.Param, n.Value)
	case plan.Near:
		f.add(param+" = ? AND ", n.Param)
		haversine(f, a, n.Point)
		f.add(" <= ?", index.HaversineOf(n.Meters))
	case plan.Present:
		f.add(param+" = ?", n.Param)
	}
}

var operators = map[plan.Prefix]string{
	plan.EQ: "=", plan.NE: "<>", plan.GT: ">", plan.LT: "<", plan.GE: ">=", plan.LE: "<=",
}

// text writes the condition on the text of a string entry.
func (w *writer) text(f *fragment, a string, n plan.String) {
	switch {
	case n.Exact:
		f.add(" AND "+a+".norm = ? AND "+a+".exact = ?", index.Short(index.Fold(n.Text)), index.Short(n.Text))
	case n.Contains:
		f.add(" AND "+w.d.contains(a+".norm"), n.Text)
	default:
		begins(f, a+".norm", n.Text)
	}
}

// system writes the condition on the system of a token whose code is searched
// within: see [index.TokenText].
func system(f *fragment, a string, n plan.TokenPart) {
	if n.System != nil {
		begins(f, a+".exact", index.TokenPrefix(*n.System))
	}
}

// begins writes the condition that a column begins with a text.
func begins(f *fragment, column, prefix string) {
	f.add(" AND "+column+" >= ?", prefix)
	if end, ok := after(prefix); ok {
		f.add(" AND "+column+" < ?", end)
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

// haversine writes the [index.Position.Haversine] of the position of a row and a point.
func haversine(f *fragment, a string, p index.Position) {
	f.add("(power(sin(radians("+a+".lat - ?) / 2), 2) + cos(radians("+a+".lat)) * cos(radians(?)) * power(sin(radians("+a+".lon - ?) / 2), 2))",
		p.Latitude, p.Latitude, p.Longitude)
}
