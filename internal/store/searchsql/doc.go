// Package searchsql writes a plan as statements of one database.
//
// The flow: [Dialect.Arrange] fixes the order of work, [Dialect.Select],
// [Dialect.Page] and [Dialect.Total] write it as text. Their order of work is fixed
// here and in the text, never by the database: one condition of the plan drives,
// that is, it gives a set of rows through value-first indexes; all others are
// checked row by row through the row-first tables. The same holds at every step of
// a chain:
//
//	driving      ix_string ─→ resource ─→ ix_reference ─→ resource    from the value to the rows
//	checking     resource ─→ ix_reference ─→ resource ─→ ix_string    from the row to the value
//
// Which condition drives follows from counts that stop early, the smallest first,
// and from the kinds of conditions where those say nothing. When no condition can
// drive, the narrow table resource is scanned in its order; when the smallest set
// is still broad and only a page is wanted, an index is walked in the order asked
// for, and each row is checked. A search that asks for no order has its rows read as
// they come from what drives, until the page is full.
//
// The two dialects differ in dialect.go only. SQLite is told the indexes; both are
// told the order of the joins; PostgreSQL is kept from making joins of checks.
//
// The text is deterministic: aliases are numbered in the order in which they are
// met, and all values are arguments.
package searchsql
