// Package sqlgen writes a plan as a statement of one database.
//
// The statement finds the row keys of the plan in ascending order, with the size
// of each line. Its order of work is fixed here and in the text, never by the
// database: one condition of the plan drives, that is, it gives a set of rows
// through a value-first index; all others are checked row by row through the
// row-first tables. Which one drives follows from counts that stop early
// ([SQLiteCounts]), and from the kinds of conditions where those say nothing. When
// no condition can drive, the narrow table resource is
// scanned in its order.
//
// The text is deterministic: aliases are numbered in the order of the plan, and
// all values are arguments.
package sqlgen
