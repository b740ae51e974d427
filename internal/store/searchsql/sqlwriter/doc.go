// Package sqlwriter writes physical plans as SQL for SQLite and PostgreSQL.
//
// The text fixes the order of execution, so the database does not choose one: the rows
// of the driving condition come first, then the checks of the other conditions. The
// same holds at every step of a chain:
//
//	driving      ix_string ─→ resource ─→ ix_reference ─→ resource    from the value to the rows
//	checking     resource ─→ ix_reference ─→ resource ─→ ix_string    from the row to the value
//
// Both dialects fix the order of the joins. For SQLite the text also names the indexes.
// For PostgreSQL it prevents the planner from turning checks into joins. All differences
// between the dialects are in dialect.go.
//
// A page is written in one of three forms. A small set is materialized and sorted
// ([Dialect.Page]). A large set is not: an index is scanned in the requested order and
// each row is checked, until the page is full (also [Dialect.Page]). A query in no order
// returns rows as the driving condition produces them ([Dialect.UnorderedPage]).
//
// The text is deterministic: aliases are numbered in order of use, and all values are
// arguments.
package sqlwriter
