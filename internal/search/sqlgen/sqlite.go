package sqlgen

import (
	"muster/internal/fhir"
	"muster/internal/search/plan"
	"muster/internal/store"
)

// CountBound is where the statements of [SQLiteCounts] stop counting.
const CountBound = 50_000

// mostLines is how many conditions are written one below the other.
const mostLines = 100

// SQLite writes the plan as a statement that selects row_key and size, ascending
// and each row once.
func SQLite(p plan.Plan) Statement { return SQLiteBy(p, nil) }

// SQLiteCounts writes, if several conditions of the plan could drive, a statement
// for each that counts the entries it has to go through, up to [CountBound].
func SQLiteCounts(p plan.Plan) []Statement {
	var counts []Statement
	for _, n := range flatten(nil, p.Root) {
		if driveCost(n) == never {
			continue
		}
		w := &writer{}
		w.add("SELECT count(*) FROM (\n")
		w.set(n, p.Type)
		w.add("\n  LIMIT ?\n)", CountBound)
		counts = append(counts, Statement{SQL: w.text.String(), Args: w.args})
	}
	if len(counts) < 2 {
		return nil
	}
	return counts
}

// SQLiteBy is [SQLite] with the order of work that the results of the statements
// of [SQLiteCounts] suggest.
func SQLiteBy(p plan.Plan, counts []int64) Statement {
	w := &writer{}
	conjuncts := flatten(nil, p.Root)
	driver := chooseDriver(conjuncts, counts)
	order := w.from(conjuncts, driver, p.Type)
	if driver >= 0 {
		conjuncts = without(conjuncts, driver)
	}
	if len(conjuncts) > mostLines {
		conjuncts = []plan.Node{plan.And(conjuncts)} // which writes them in halves
	}
	for _, n := range conjuncts {
		w.add("\n  AND ")
		w.condition(n)
	}
	w.add("\nORDER BY " + order)
	return Statement{SQL: w.text.String(), Args: w.args}
}

// from writes the statement up to the driving condition, and returns the column
// that its rows are ordered by.
func (w *writer) from(conjuncts []plan.Node, driver int, t fhir.Type) (order string) {
	w.add("SELECT r.row_key, r.size\nFROM ")
	switch {
	case driver < 0:
		first, last := store.KeyRange(t)
		w.add("resource AS r NOT INDEXED\nWHERE r.row_key BETWEEN ? AND ?", int64(first), int64(last))
	case ordered(conjuncts[driver]):
		// One run of the index: its rows come in order, so nothing is gathered first.
		a := w.alias()
		w.add(indexed(a, conjuncts[driver]) + "\n  CROSS JOIN resource AS r NOT INDEXED ON r.row_key = " + a + ".row_key\nWHERE ")
		w.run(a, conjuncts[driver], t)
		return a + ".row_key"
	default:
		// SQLite gathers the list sorted and each key once, and looks up in its order.
		w.add("resource AS r NOT INDEXED\nWHERE r.row_key IN (\n")
		w.set(conjuncts[driver], t)
		w.add("\n)")
	}
	return "r.row_key"
}

// flatten lists the conditions that must all hold.
func flatten(dst []plan.Node, n plan.Node) []plan.Node {
	and, ok := n.(plan.And)
	if !ok {
		return append(dst, n)
	}
	for _, part := range and {
		dst = flatten(dst, part)
	}
	return dst
}

func without(nodes []plan.Node, i int) []plan.Node {
	return append(append([]plan.Node{}, nodes[:i]...), nodes[i+1:]...)
}
