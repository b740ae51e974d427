package sqlwriter

import (
	"muster/internal/fhir"
	"muster/internal/search/plan"
	"muster/internal/store/searchsql/physical"
)

// writeSet writes the selection of the row keys of a step, in no order and with
// duplicates.
func (w *writer) writeSet(s *physical.Step) *fragment {
	if _, ok := s.Node.(plan.Or); ok {
		return w.writeUnion(s)
	}
	var f fragment
	q := w.newQuery()
	key, _ := q.joinSet(s)
	q.write(&f, key)
	return &f
}

// writeUnion writes the row keys of several alternatives as one selection.
func (w *writer) writeUnion(s *physical.Step) *fragment {
	var f fragment
	if len(s.Children) == 0 {
		f.add("SELECT 0 AS row_key WHERE false")
	}
	for _, child := range s.Children {
		f.separate("\nUNION ALL\n")
		q := w.newQuery()
		key, _ := q.joinSet(child)
		q.write(&f, key)
	}
	return &f
}

// joinSet adds the rows of a step as a set, through value-first indexes; some rows may
// repeat. It returns the column with the row key and, if the query already reads table
// resource for these rows, the alias of that table.
func (q *query) joinSet(s *physical.Step) (key, row string) {
	switch n := s.Node.(type) {
	case plan.And:
		return q.joinConjunction(s)
	case plan.Or:
		return q.joinUnion(s), ""
	case plan.Chain:
		return q.joinChain(n, s), ""
	case plan.Has:
		return q.joinHas(n, s)
	case plan.IDs:
		return q.joinIDs(n, s.ResourceType)
	case plan.Since:
		return q.joinByColumn("resource_committed", s.ResourceType, func(f *fragment, row string) {
			f.add(" AND "+row+".committed > ?", int64(n.After))
		})
	case plan.Updated:
		return q.joinByColumn("resource_updated", s.ResourceType, func(f *fragment, row string) {
			f.add(" AND ")
			compareInstant(f, row+".last_updated", n.Compare)
		})
	case plan.Near:
		return q.joinNear(n, s.ResourceType), ""
	}
	if _, substring := s.Substring(); substring != "" {
		return q.joinSubstring(s), ""
	}
	return q.joinEntries(s.Node, s.ResourceType), ""
}

// joinConjunction adds the rows of the driving condition and checks the others.
func (q *query) joinConjunction(s *physical.Step) (key, row string) {
	if s.Driving == physical.NotDriven {
		row = q.joinType(s.ResourceType)
		key = row + ".row_key"
	} else {
		key, row = q.joinSet(s.Children[s.Driving])
	}
	checks := checksExcept(s, s.Driving)
	if len(checks) == 0 {
		return key, row
	}
	if row == "" {
		row = q.joinResource(key)
	}
	q.check(checks, row)
	return key, row
}

// joinType adds all resources of a type.
func (q *query) joinType(t fhir.Type) (row string) {
	row = q.w.alias()
	q.join("resource AS "+row+q.w.dialect.rowKeyHint(), keyRange(row, t))
	return row
}

// joinUnion adds the rows of several alternatives.
func (q *query) joinUnion(s *physical.Step) (key string) {
	union := q.w.writeUnion(s)
	alias := q.w.alias()
	q.join("(\n"+union.text.String()+"\n) AS "+alias, &fragment{}, union.args...)
	return alias + ".row_key"
}

// joinChain adds the resources that refer to a resource of the chained condition.
func (q *query) joinChain(n plan.Chain, s *physical.Step) (key string) {
	target, row := q.joinSet(s.Children[0])
	if row == "" {
		row = q.joinResource(target)
	}
	alias := q.w.alias()
	on := newFragment(alias+".param = ? AND "+alias+".id = "+row+".id AND "+alias+".type = "+nameID+" AND ", n.Param, n.Type.String())
	on.append(keyRange(alias, s.ResourceType))
	q.join("ix_reference AS "+alias+q.w.dialect.indexHint("ix_reference_value"), on)
	return alias + ".row_key"
}

// joinHas adds the resources that a resource of the reverse-chained condition refers
// to.
func (q *query) joinHas(n plan.Has, s *physical.Step) (key, row string) {
	source, _ := q.joinSet(s.Children[0])
	alias := q.w.alias()
	q.join("ix_reference AS "+alias+q.w.dialect.rowFirstHint("ix_reference"),
		newFragment(alias+".row_key = "+source+" AND "+alias+".param = ? AND "+alias+".type = "+nameID, n.Param, s.ResourceType.String()))
	row = q.w.alias()
	q.join("resource AS "+row+q.w.dialect.indexHint("resource_id"),
		newFragment(row+".type = ? AND "+row+".id = "+alias+".id", int64(s.ResourceType)))
	return row + ".row_key", row
}

// joinIDs adds the resources of a type with the ids.
func (q *query) joinIDs(ids []string, t fhir.Type) (key, row string) {
	row = q.w.alias()
	list := q.w.alias()
	table, arg := q.w.dialect.textTable(list, ids)
	q.join(table, &fragment{}, arg)
	q.join("resource AS "+row+q.w.dialect.indexHint("resource_id"), newFragment(row+".type = ? AND "+row+".id = "+list+".value", int64(t)))
	return row + ".row_key", row
}

// joinByColumn adds rows through an index of table resource itself.
func (q *query) joinByColumn(indexName string, t fhir.Type, compare func(f *fragment, row string)) (key, row string) {
	row = q.w.alias()
	on := newFragment(row+".type = ?", int64(t))
	compare(on, row)
	q.join("resource AS "+row+q.w.dialect.indexHint(indexName), on)
	return row + ".row_key", row
}

// joinEntries adds the matching entries of an index table.
func (q *query) joinEntries(n plan.Node, t fhir.Type) (key string) {
	alias, table := q.w.alias(), indexTables[kindOf(n)].name
	var on fragment
	q.w.writeEntry(&on, alias, alias+".param", n)
	on.add(" AND ")
	on.append(keyRange(alias, t))
	q.join(table+" AS "+alias+q.w.dialect.indexHint(table+"_value"), &on)
	return alias + ".row_key"
}

// joinNear adds the positions in the cells that cover the circle, and keeps those
// inside the circle.
func (q *query) joinNear(n plan.Near, t fhir.Type) (key string) {
	cells, alias := q.w.alias(), q.w.alias()
	var values fragment
	for _, c := range n.Point.Around(n.Meters) {
		values.separate(", ")
		values.add("(CAST(? AS BIGINT), CAST(? AS BIGINT))", c.First, c.Last)
	}
	q.join("(VALUES "+values.text.String()+") AS "+cells, &fragment{}, values.args...)
	on := newFragment(alias + ".cell BETWEEN " + cells + ".column1 AND " + cells + ".column2 AND ")
	q.w.writeEntry(on, alias, alias+".param", n)
	on.add(" AND ")
	on.append(keyRange(alias, t))
	q.join("ix_position AS "+alias+q.w.dialect.indexHint("ix_position_value"), on)
	return alias + ".row_key"
}

// joinSubstring adds the string entries that contain a text: first the pieces of texts,
// then the texts with these pieces, then the entries with these texts.
func (q *query) joinSubstring(s *physical.Step) (key string) {
	param, substring := s.Substring()
	gram, text, alias := q.w.alias(), q.w.alias(), q.w.alias()
	on := newFragment(gram+".param = ?", param)
	writePrefix(on, gram+".gram", s.Probe)
	q.join("ix_gram AS "+gram, on)
	q.join("ix_text AS "+text+q.w.dialect.rowKeyHint(),
		newFragment(text+".text_id = "+gram+".text_id AND "+q.w.dialect.contains(text+".norm"), substring))
	on = newFragment(alias+".param = ? AND "+alias+".norm = "+text+".norm", param)
	if part, ok := s.Node.(plan.TokenPart); ok {
		writeSystem(on, alias, part)
	}
	on.add(" AND ")
	on.append(keyRange(alias, s.ResourceType))
	q.join("ix_string AS "+alias+q.w.dialect.indexHint("ix_string_value"), on)
	return alias + ".row_key"
}
