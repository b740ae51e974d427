// Package searchsql executes plans on SQLite and PostgreSQL. The drivers call it with
// functions that run a statement in their transaction.
//
// It has three parts. Each imports only those below it:
//
//	searchsql  the executor: decides which statements run
//	optimiser  chooses the driving condition of each conjunction
//	sqlwriter  writes a physical plan as the text of a statement
//	physical   the physical plan, the value between optimiser and writer
//
// [Session.Find] answers a search. [Selection] returns the statement of an export.
//
// A page in a requested order is either materialized and sorted or read by an index
// scan. [Session.Find] chooses by the size of the driving set. A search in no order
// reads rows as the driving condition produces them, until the page is full. A search
// sorted by distance first tries smaller radii.
package searchsql
