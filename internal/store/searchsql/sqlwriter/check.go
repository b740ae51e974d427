package sqlwriter

import (
	"fmt"
	"slices"

	"muster/internal/search/index"
	"muster/internal/search/plan"
	"muster/internal/store/searchsql/physical"
)

// maxSeparateChecks is the maximum number of checks that are written as separate
// conditions of a WHERE clause.
const maxSeparateChecks = 100

// checksExcept lists the children of a conjunction except the one at index except, in
// the order of their cost for one row: columns, entries, references.
func checksExcept(s *physical.Step, except int) []*physical.Step {
	var checks []*physical.Step
	for i, child := range s.Children {
		if i != except {
			checks = append(checks, child)
		}
	}
	slices.SortStableFunc(checks, func(a, b *physical.Step) int { return checkCost(a) - checkCost(b) })
	return checks
}

// checksFor lists all children of a conjunction, for a row found in another way.
func checksFor(s *physical.Step) []*physical.Step { return checksExcept(s, physical.NotDriven) }

// checkCost ranks the cost of checking a condition for one row.
func checkCost(s *physical.Step) int {
	switch s.Node.(type) {
	case plan.IDs, plan.Updated, plan.Since, plan.Visible:
		return 0
	case plan.Chain, plan.Has, plan.AllVisible:
		return 2
	case plan.And, plan.Or, plan.Not:
		highest := 0
		for _, child := range s.Children {
			highest = max(highest, checkCost(child))
		}
		return highest
	default:
		return 1
	}
}

// check adds checks of a row of table resource.
func (q *query) check(checks []*physical.Step, row string) {
	if len(checks) > maxSeparateChecks {
		var f fragment
		q.w.writeChecks(&f, checks, " AND ", "true", row)
		q.filter(&f)
		return
	}
	for _, s := range checks {
		var f fragment
		q.w.writeCheck(&f, s, row)
		q.filter(&f)
	}
}

// writeCheck writes a step as a condition on one row of table resource.
func (w *writer) writeCheck(f *fragment, s *physical.Step, row string) {
	switch n := s.Node.(type) {
	case plan.And:
		w.writeChecks(f, s.Children, " AND ", "true", row)
	case plan.Or:
		w.writeChecks(f, s.Children, " OR ", "false", row)
	case plan.Not:
		f.add("NOT ")
		w.writeCheck(f, s.Children[0], row)
	case plan.IDs:
		text, arg := w.dialect.isOneOf(row+".id", n)
		f.add("("+text+")", arg)
	case plan.Updated:
		f.add("(")
		compareInstant(f, row+".last_updated", n.Compare)
		f.add(")")
	case plan.Since:
		f.add("("+row+".committed > ?)", int64(n.After))
	case plan.Visible:
		writeVisible(f, n, row)
	case plan.AllVisible:
		w.checkTargetsVisible(f, n, row)
	case plan.Chain:
		w.checkChain(f, n, s, row)
	case plan.Has:
		w.checkHas(f, n, s, row)
	default:
		w.checkEntry(f, n, row)
	}
}

// writeChecks writes several checks with an operator between them, or the text empty if
// there are none.
func (w *writer) writeChecks(f *fragment, checks []*physical.Step, operator, empty, row string) {
	switch len(checks) {
	case 0:
		f.add(empty)
		return
	case 1:
		w.writeCheck(f, checks[0], row)
		return
	}
	// Halving keeps the depth of the expression low: SQLite's limit is 1,000.
	half := len(checks) / 2
	f.add("(")
	w.writeChecks(f, checks[:half], operator, empty, row)
	f.add(operator)
	w.writeChecks(f, checks[half:], operator, empty, row)
	f.add(")")
}

// writeVisible writes that the row has none of the flags that hide it.
func writeVisible(f *fragment, v plan.Visible, row string) {
	f.add("("+row+".visibility & ? = 0)", int64(v.Hiding()))
}

// checkEntry writes the check that the row has an entry, through the row-first table.
func (w *writer) checkEntry(f *fragment, n plan.Node, row string) {
	alias, table := w.alias(), indexTables[kindOf(n)].name
	f.add("EXISTS (SELECT 1 FROM " + table + " AS " + alias + w.dialect.rowFirstHint(table) + " WHERE " + alias + ".row_key = " + row + ".row_key AND ")
	w.writeEntry(f, alias, w.dialect.paramOfRow(alias), n)
	f.add(w.dialect.endExists())
}

// checkChain writes the check that the row refers to a resource of the chained
// condition.
func (w *writer) checkChain(f *fragment, n plan.Chain, s *physical.Step, row string) {
	q := w.newQuery()
	alias := w.alias()
	q.join("ix_reference AS "+alias+w.dialect.rowFirstHint("ix_reference"),
		newFragment(alias+".row_key = "+row+".row_key AND "+alias+".param = ? AND "+alias+".type = "+nameID, n.Param, n.Type.String()))
	target := w.alias()
	q.join("resource AS "+target+w.dialect.indexHint("resource_id"),
		newFragment(target+".type = ? AND "+target+".id = "+alias+".id", int64(n.Type)))
	q.check(checksFor(s.Children[0]), target)
	f.add("EXISTS (")
	q.write(f, "1")
	f.add(w.dialect.endExists())
}

// checkHas writes the check that a resource of the reverse-chained condition refers to
// the row.
func (w *writer) checkHas(f *fragment, n plan.Has, s *physical.Step, row string) {
	q := w.newQuery()
	alias := w.alias()
	on := newFragment(alias+".param = ? AND "+alias+".id = "+row+".id AND "+alias+".type = "+nameID+" AND ", n.Param, s.ResourceType.String())
	on.append(keyRange(alias, n.Type))
	q.join("ix_reference AS "+alias+w.dialect.indexHint("ix_reference_value"), on)
	if checks := checksFor(s.Children[0]); len(checks) > 0 {
		q.check(checks, q.joinResource(alias+".row_key"))
	}
	f.add("EXISTS (")
	q.write(f, "1")
	f.add(w.dialect.endExists())
}

// checkTargetsVisible writes the check that the row has a reference of the parameter,
// and that the targets of all these references exist and are visible.
func (w *writer) checkTargetsVisible(f *fragment, n plan.AllVisible, row string) {
	f.add("(")
	w.checkEntry(f, plan.Present{Param: n.Param, Kind: index.Reference}, row)
	alias, name, target := w.alias(), w.alias(), w.alias()
	q := w.newQuery()
	q.join("name AS "+name+w.dialect.rowKeyHint(), newFragment(name+".name_id = "+alias+".type"))
	on := newFragment(target + ".type = CASE " + name + ".text")
	for _, t := range n.Types {
		on.add(fmt.Sprintf(" WHEN '%v' THEN %d", t, t))
	}
	on.add(" END AND " + target + ".id = " + alias + ".id")
	q.join("resource AS "+target+w.dialect.indexHint("resource_id"), on)
	var visible fragment
	writeVisible(&visible, n.Visible, target)
	q.filter(&visible)
	f.add(" AND NOT EXISTS (SELECT 1 FROM ix_reference AS "+alias+w.dialect.rowFirstHint("ix_reference")+
		" WHERE "+alias+".row_key = "+row+".row_key AND "+alias+".param = ? AND NOT EXISTS (", n.Param)
	q.write(f, "1")
	f.add(w.dialect.endExists() + w.dialect.endExists() + ")")
}
