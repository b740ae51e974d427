package searchsql

import (
	"muster/internal/fhir"
	"muster/internal/search/index"
	"muster/internal/search/plan"
	"muster/internal/store"
)

// selection is a SELECT in the making: its tables in the order of work, and what
// must hold.
type selection struct {
	w           *writer
	from, where fragment
}

func (w *writer) selection() *selection { return &selection{w: w} }

// read adds a table behind those that are there, with the condition that finds its
// rows.
func (q *selection) read(item string, on *fragment, args ...any) {
	if q.from.text.Len() == 0 {
		q.from.add(item, args...)
		q.hold(on)
		return
	}
	before, between, after := q.w.d.join(item)
	q.from.add("\n  "+before+item+between, args...)
	q.from.put(on)
	q.from.add(after)
}

// hold adds a condition.
func (q *selection) hold(condition *fragment) {
	if condition.text.Len() == 0 {
		return
	}
	q.where.and("\n  AND ")
	q.where.put(condition)
}

// write finishes the SELECT of the columns.
func (q *selection) write(f *fragment, columns string, args ...any) {
	f.add("SELECT "+columns+"\nFROM ", args...)
	f.put(&q.from)
	if q.where.text.Len() > 0 {
		f.add("\nWHERE ")
		f.put(&q.where)
	}
}

// rows adds the rows for which a step holds, some of them repeatedly, as a set:
// through value-first indexes. It returns where their row key stands and, if a row
// of table resource stands there anyway, its alias.
func (q *selection) rows(s *step) (key, row string) {
	switch n := s.node.(type) {
	case plan.And:
		return q.conjunction(s)
	case plan.Or:
		return q.union(s), ""
	case plan.Chain:
		return q.link(n, s), ""
	case plan.Has:
		return q.back(n, s)
	case plan.IDs:
		return q.ids(n, s.of)
	case plan.Since:
		return q.column("resource_committed", s.of, func(f *fragment, a string) { f.add(" AND "+a+".committed > ?", int64(n.After)) })
	case plan.Updated:
		return q.column("resource_updated", s.of, func(f *fragment, a string) {
			f.add(" AND ")
			compareMoment(f, a+".last_updated", n.Compare)
		})
	case plan.Near:
		return q.near(n, s.of), ""
	}
	if _, needle := s.partOf(); needle != "" {
		return q.within(s), ""
	}
	return q.entries(s.node, s.of), ""
}

// conjunction adds the rows of the condition that drives, and checks the others.
func (q *selection) conjunction(s *step) (key, row string) {
	if s.driver < 0 {
		row = q.every(s.of)
		key = row + ".row_key"
	} else {
		key, row = q.rows(s.kids[s.driver])
	}
	checks := s.checks()
	if len(checks) == 0 {
		return key, row
	}
	if row == "" {
		row = q.resource(key)
	}
	q.check(checks, row)
	return key, row
}

// every adds all resources of a type.
func (q *selection) every(t fhir.Type) (row string) {
	row = q.w.alias()
	q.read("resource AS "+row+q.w.d.byKey(), keyRange(row, t))
	return row
}

// resource adds the row with a key.
func (q *selection) resource(key string) (row string) {
	row = q.w.alias()
	q.read("resource AS "+row+q.w.d.byKey(), condition(row+".row_key = "+key))
	return row
}

// entries adds the entries of an index table.
func (q *selection) entries(n plan.Node, t fhir.Type) (key string) {
	a, table := q.w.alias(), tables[kindOf(n)].name
	var on fragment
	q.w.entry(&on, a, a+".param", n)
	on.add(" AND ")
	on.put(keyRange(a, t))
	q.read(table+" AS "+a+q.w.d.index(table+"_value"), &on)
	return a + ".row_key"
}

func (q *selection) ids(ids []string, t fhir.Type) (key, row string) {
	row = q.w.alias()
	list := q.w.alias()
	item, arg := q.w.d.list(list, ids)
	q.read(item, &fragment{}, arg)
	q.read("resource AS "+row+q.w.d.index("resource_id"), condition(row+".type = ? AND "+row+".id = "+list+".value", int64(t)))
	return row + ".row_key", row
}

// column adds rows through an index of table resource itself.
func (q *selection) column(name string, t fhir.Type, compare func(f *fragment, a string)) (key, row string) {
	row = q.w.alias()
	on := condition(row+".type = ?", int64(t))
	compare(on, row)
	q.read("resource AS "+row+q.w.d.index(name), on)
	return row + ".row_key", row
}

// near adds the positions in the cells that cover the circle, and within it.
func (q *selection) near(n plan.Near, t fhir.Type) (key string) {
	cells, a := q.w.alias(), q.w.alias()
	var values fragment
	for _, c := range n.Point.Around(n.Meters) {
		values.and(", ")
		values.add("(CAST(? AS BIGINT), CAST(? AS BIGINT))", c.First, c.Last)
	}
	q.read("(VALUES "+values.text.String()+") AS "+cells, &fragment{}, values.args...)
	on := condition(a + ".cell BETWEEN " + cells + ".column1 AND " + cells + ".column2 AND ")
	q.w.entry(on, a, a+".param", n)
	on.add(" AND ")
	on.put(keyRange(a, t))
	q.read("ix_position AS "+a+q.w.d.index("ix_position_value"), on)
	return a + ".row_key"
}

// within adds the string entries whose text contains another: pieces of texts, the
// texts that they belong to, the entries of those.
func (q *selection) within(s *step) (key string) {
	param, needle := s.partOf()
	gram, text, a := q.w.alias(), q.w.alias(), q.w.alias()
	on := condition(gram+".param = ?", param)
	begins(on, gram+".gram", s.probe)
	q.read("ix_gram AS "+gram, on)
	q.read("ix_text AS "+text+q.w.d.byKey(), condition(text+".text_id = "+gram+".text_id AND "+q.w.d.contains(text+".norm"), needle))
	on = condition(a+".param = ? AND "+a+".norm = "+text+".norm", param)
	if part, ok := s.node.(plan.TokenPart); ok {
		system(on, a, part)
	}
	on.add(" AND ")
	on.put(keyRange(a, s.of))
	q.read("ix_string AS "+a+q.w.d.index("ix_string_value"), on)
	return a + ".row_key"
}

// partOf returns the parameter and the folded text of a search within texts; the
// text is empty for all other steps.
func (s *step) partOf() (param int, needle string) {
	switch n := s.node.(type) {
	case plan.String:
		if n.Contains && !n.Exact {
			return n.Param, n.Text
		}
	case plan.TokenPart:
		return n.Param, index.Fold(n.Text)
	}
	return 0, ""
}

// link adds the resources that refer to one for which the inside of a Link holds.
func (q *selection) link(n plan.Chain, s *step) (key string) {
	inner, row := q.rows(s.kids[0])
	if row == "" {
		row = q.resource(inner)
	}
	a := q.w.alias()
	on := condition(a+".param = ? AND "+a+".id = "+row+".id AND "+a+".type = "+nameID+" AND ", n.Param, n.Type.String())
	on.put(keyRange(a, s.of))
	q.read("ix_reference AS "+a+q.w.d.index("ix_reference_value"), on)
	return a + ".row_key"
}

// back adds the resources that one refers to for which the inside of a Back holds.
func (q *selection) back(n plan.Has, s *step) (key, row string) {
	inner, _ := q.rows(s.kids[0])
	a := q.w.alias()
	q.read("ix_reference AS "+a+q.w.d.rowFirst("ix_reference"),
		condition(a+".row_key = "+inner+" AND "+a+".param = ? AND "+a+".type = "+nameID, n.Param, s.of.String()))
	row = q.w.alias()
	q.read("resource AS "+row+q.w.d.index("resource_id"), condition(row+".type = ? AND "+row+".id = "+a+".id", int64(s.of)))
	return row + ".row_key", row
}

// union adds the rows of several alternatives.
func (q *selection) union(s *step) (key string) {
	f := q.w.union(s)
	a := q.w.alias()
	q.read("(\n"+f.text.String()+"\n) AS "+a, &fragment{}, f.args...)
	return a + ".row_key"
}

// union writes the row keys of several alternatives as one selection.
func (w *writer) union(s *step) *fragment {
	var f fragment
	if len(s.kids) == 0 {
		f.add("SELECT 0 AS row_key WHERE false")
	}
	for _, kid := range s.kids {
		f.and("\nUNION ALL\n")
		q := w.selection()
		key, _ := q.rows(kid)
		q.write(&f, key)
	}
	return &f
}

// set writes the row keys for which a step holds, in no order and some repeatedly.
func (w *writer) set(s *step) *fragment {
	if _, ok := s.node.(plan.Or); ok {
		return w.union(s)
	}
	var f fragment
	q := w.selection()
	key, _ := q.rows(s)
	q.write(&f, key)
	return &f
}

// keyRange is the condition that a row or entry belongs to a type.
func keyRange(a string, t fhir.Type) *fragment {
	first, last := store.KeyRange(t)
	return condition(a+".row_key BETWEEN ? AND ?", int64(first), int64(last))
}

func condition(text string, args ...any) *fragment {
	var f fragment
	f.add(text, args...)
	return &f
}
