package searchsql

import (
	"encoding/json"
	"strings"
)

// Dialect is the database that a statement is written for. What differs between
// the two stands in this file.
type Dialect uint8

// The dialects.
const (
	SQLite Dialect = 1 + iota
	// PostgreSQL statements ask for join_collapse_limit = 1 and from_collapse_limit
	// = 1: joins are then made in the order in which they are written.
	PostgreSQL
)

// String names the database.
func (d Dialect) String() string {
	if d == SQLite {
		return "SQLite"
	}
	return "PostgreSQL"
}

// join writes what stands around a table that is read for each row of those before it,
// and around the condition that finds its rows. SQLite never turns a CROSS JOIN around.
// PostgreSQL would, by its statistics; it cannot where the table is in a subquery that
// refers to the rows before and, having an OFFSET, is run as it is written.
func (d Dialect) join(item string) (before, between, after string) {
	if d == SQLite {
		return "CROSS JOIN ", " ON ", ""
	}
	_, alias, _ := strings.Cut(item, " AS ")
	return "JOIN LATERAL (SELECT * FROM ", " WHERE ", " OFFSET 0) AS " + alias + " ON true"
}

// index names the index that a table is read through. PostgreSQL has no such hint:
// it finds the one index whose columns are all bound (see param).
func (d Dialect) index(name string) string {
	if d == SQLite {
		return " INDEXED BY " + name
	}
	return ""
}

// rowFirst names the index of an index table that begins with the row.
func (d Dialect) rowFirst(table string) string { return d.index("sqlite_autoindex_" + table + "_1") }

// param is the parameter of an entry whose row is known. PostgreSQL might find the
// entry by its value, through all rows that have it: behind a sum the column is of no
// use to an index, and only the row is left to look by.
func (d Dialect) param(a string) string {
	if d == SQLite {
		return a + ".param"
	}
	return a + ".param + 0"
}

// byKey says that a table is read by its row key.
func (d Dialect) byKey() string {
	if d == SQLite {
		return " NOT INDEXED"
	}
	return ""
}

// list is a table a of the texts of one argument, in the column value.
func (d Dialect) list(a string, texts []string) (item string, arg any) {
	if d == SQLite {
		return "json_each(?) AS " + a, asJSON(texts)
	}
	return "unnest(?::text[]) AS " + a + " (value)", texts
}

// among is the condition that a column holds one of the texts of one argument.
func (d Dialect) among(column string, texts []string) (condition string, arg any) {
	if d == SQLite {
		return column + " IN (SELECT value FROM json_each(?))", asJSON(texts)
	}
	return column + " = ANY (?::text[])", texts
}

// contains is the condition that a column holds the text of one argument anywhere.
func (d Dialect) contains(column string) string {
	if d == SQLite {
		return "instr(" + column + ", ?) > 0"
	}
	return "strpos(" + column + ", ?) > 0"
}

// exists ends a subquery of EXISTS. Behind OFFSET, PostgreSQL runs it for each row
// as it is written; without, it would make a join of it and choose an order itself.
func (d Dialect) exists() string {
	if d == SQLite {
		return ")"
	}
	return " OFFSET 0)"
}

func asJSON(texts []string) string {
	var b strings.Builder
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if texts == nil {
		texts = []string{}
	}
	if err := encoder.Encode(texts); err != nil {
		return "[]" // a list of strings can always be written
	}
	return strings.TrimSuffix(b.String(), "\n")
}
