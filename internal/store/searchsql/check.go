package searchsql

import (
	"fmt"
	"slices"

	"muster/internal/search/index"
	"muster/internal/search/plan"
)

// mostLines is how many conditions are written one below the other.
const mostLines = 100

// checks lists the conditions of a conjunction that do not drive, those first that
// cost least for a row: columns, entries, references to follow.
func (s *step) checks() []*step {
	var checks []*step
	for i, kid := range s.kids {
		if i != s.driver {
			checks = append(checks, kid)
		}
	}
	slices.SortStableFunc(checks, func(a, b *step) int { return a.weight() - b.weight() })
	return checks
}

// weight ranks what it costs to check the condition for one row.
func (s *step) weight() int {
	switch s.node.(type) {
	case plan.IDs, plan.Updated, plan.Since, plan.Visible:
		return 0
	case plan.Chain, plan.Has, plan.AllVisible:
		return 2
	case plan.And, plan.Or, plan.Not:
		heaviest := 0
		for _, kid := range s.kids {
			heaviest = max(heaviest, kid.weight())
		}
		return heaviest
	default:
		return 1
	}
}

// check adds conditions on a row of table resource.
func (q *selection) check(checks []*step, row string) {
	if len(checks) > mostLines {
		var f fragment
		q.w.joined(&f, checks, " AND ", "true", row)
		q.hold(&f)
		return
	}
	for _, s := range checks {
		var f fragment
		q.w.condition(&f, s, row)
		q.hold(&f)
	}
}

// condition writes a step as a check of one row of table resource.
func (w *writer) condition(f *fragment, s *step, row string) {
	switch n := s.node.(type) {
	case plan.And:
		w.joined(f, s.kids, " AND ", "true", row)
	case plan.Or:
		w.joined(f, s.kids, " OR ", "false", row)
	case plan.Not:
		f.add("NOT ")
		w.condition(f, s.kids[0], row)
	case plan.IDs:
		text, arg := w.d.among(row+".id", n)
		f.add("("+text+")", arg)
	case plan.Updated:
		f.add("(")
		compareMoment(f, row+".last_updated", n.Compare)
		f.add(")")
	case plan.Since:
		f.add("("+row+".committed > ?)", int64(n.After))
	case plan.Visible:
		w.visible(f, n, row)
	case plan.AllVisible:
		w.allVisible(f, n, row)
	case plan.Chain:
		w.follow(f, n, s, row)
	case plan.Has:
		w.followBack(f, n, s, row)
	default:
		w.exists(f, n, row)
	}
}

// joined writes conditions with a word between them, and empty if there are none.
func (w *writer) joined(f *fragment, steps []*step, word, empty, row string) {
	switch len(steps) {
	case 0:
		f.add(empty)
		return
	case 1:
		w.condition(f, steps[0], row)
		return
	}
	// In halves, so that a long list makes no deep expression: SQLite's limit is 1,000.
	half := len(steps) / 2
	f.add("(")
	w.joined(f, steps[:half], word, empty, row)
	f.add(word)
	w.joined(f, steps[half:], word, empty, row)
	f.add(")")
}

// visible writes that the row has none of the flags that hide it.
func (w *writer) visible(f *fragment, v plan.Visible, row string) {
	var hiding index.Visibility
	if v.Active {
		hiding |= index.Inactive
	}
	if v.NotSuppressed {
		hiding |= index.Suppressed
	}
	f.add("("+row+".visibility & ? = 0)", int64(hiding))
}

// exists writes the check that the row has an entry, through the row-first table.
func (w *writer) exists(f *fragment, n plan.Node, row string) {
	a, table := w.alias(), tables[kindOf(n)].name
	f.add("EXISTS (SELECT 1 FROM " + table + " AS " + a + w.d.rowFirst(table) + " WHERE " + a + ".row_key = " + row + ".row_key AND ")
	w.entry(f, a, w.d.param(a), n)
	f.add(w.d.exists())
}

// follow writes the check that the row refers to a resource of which the inside of
// a Link holds.
func (w *writer) follow(f *fragment, n plan.Chain, s *step, row string) {
	q := w.selection()
	a := w.alias()
	q.read("ix_reference AS "+a+w.d.rowFirst("ix_reference"),
		condition(a+".row_key = "+row+".row_key AND "+a+".param = ? AND "+a+".type = "+nameID, n.Param, n.Type.String()))
	target := w.alias()
	q.read("resource AS "+target+w.d.index("resource_id"), condition(target+".type = ? AND "+target+".id = "+a+".id", int64(n.Type)))
	q.check(s.kids[0].all(), target)
	f.add("EXISTS (")
	q.write(f, "1")
	f.add(w.d.exists())
}

// followBack writes the check that a resource refers to the row of which the
// inside of a Back holds.
func (w *writer) followBack(f *fragment, n plan.Has, s *step, row string) {
	q := w.selection()
	a := w.alias()
	on := condition(a+".param = ? AND "+a+".id = "+row+".id AND "+a+".type = "+nameID+" AND ", n.Param, s.of.String())
	on.put(keyRange(a, n.Type))
	q.read("ix_reference AS "+a+w.d.index("ix_reference_value"), on)
	if checks := s.kids[0].all(); len(checks) > 0 {
		q.check(checks, q.resource(a+".row_key"))
	}
	f.add("EXISTS (")
	q.write(f, "1")
	f.add(w.d.exists())
}

// all lists all conditions of a conjunction, for a row that is found already.
func (s *step) all() []*step {
	row := step{kids: s.kids, driver: -1}
	return row.checks()
}

// allVisible writes that the row has a reference, and none that leads to something that
// is gone or not visible as the condition asks.
func (w *writer) allVisible(f *fragment, n plan.AllVisible, row string) {
	f.add("(")
	w.exists(f, plan.Present{Param: n.Param, Kind: index.Reference}, row)
	a, name, target := w.alias(), w.alias(), w.alias()
	q := w.selection()
	q.read("name AS "+name+w.d.byKey(), condition(name+".name_id = "+a+".type"))
	on := condition(target + ".type = CASE " + name + ".text")
	for _, t := range n.Types {
		on.add(fmt.Sprintf(" WHEN '%v' THEN %d", t, t))
	}
	on.add(" END AND " + target + ".id = " + a + ".id")
	q.read("resource AS "+target+w.d.index("resource_id"), on)
	var visible fragment
	w.visible(&visible, n.Visible, target)
	q.hold(&visible)
	f.add(" AND NOT EXISTS (SELECT 1 FROM ix_reference AS "+a+w.d.rowFirst("ix_reference")+
		" WHERE "+a+".row_key = "+row+".row_key AND "+a+".param = ? AND NOT EXISTS (", n.Param)
	q.write(f, "1")
	f.add(w.d.exists() + w.d.exists() + ")")
}
