package sqlwriter

import (
	"encoding/json"
	"strings"
)

// Dialect is the database that a statement is written for.
type Dialect uint8

// The dialects.
const (
	SQLite Dialect = 1 + iota
	// PostgreSQL statements require join_collapse_limit = 1 and from_collapse_limit =
	// 1: joins are then executed in the order in which they are written.
	PostgreSQL
)

// String returns the name of the database.
func (d Dialect) String() string {
	if d == SQLite {
		return "SQLite"
	}
	return "PostgreSQL"
}

// nestedJoin returns the text around a table that is read for each row of the tables
// before it, and around the condition that finds its rows. SQLite never reorders a
// CROSS JOIN. PostgreSQL may reorder joins by its statistics, but not a subquery that
// refers to earlier rows and has an OFFSET.
func (d Dialect) nestedJoin(table string) (before, between, after string) {
	if d == SQLite {
		return "CROSS JOIN ", " ON ", ""
	}
	_, alias, _ := strings.Cut(table, " AS ")
	return "JOIN LATERAL (SELECT * FROM ", " WHERE ", " OFFSET 0) AS " + alias + " ON true"
}

// indexHint returns the hint to read a table through the index. PostgreSQL has no such
// hint: it chooses the only index whose columns are all bound (see paramOfRow).
func (d Dialect) indexHint(name string) string {
	if d == SQLite {
		return " INDEXED BY " + name
	}
	return ""
}

// rowFirstHint returns the hint to read an index table through its index that begins
// with the row key.
func (d Dialect) rowFirstHint(table string) string {
	return d.indexHint("sqlite_autoindex_" + table + "_1")
}

// rowKeyHint returns the hint to read a table by its row key.
func (d Dialect) rowKeyHint() string {
	if d == SQLite {
		return " NOT INDEXED"
	}
	return ""
}

// paramOfRow returns the parameter column of an entry whose row is known. Adding 0
// prevents PostgreSQL's planner from using the value index, which would read all rows
// with the value; only the index that begins with the row key remains.
func (d Dialect) paramOfRow(alias string) string {
	if d == SQLite {
		return alias + ".param"
	}
	return alias + ".param + 0"
}

// textTable returns a table that holds the texts, passed as one argument, in its column
// named value.
func (d Dialect) textTable(alias string, texts []string) (table string, arg any) {
	if d == SQLite {
		return "json_each(?) AS " + alias, asJSON(texts)
	}
	return "unnest(?::text[]) AS " + alias + " (value)", texts
}

// isOneOf returns the condition that a column equals one of the texts, passed as one
// argument.
func (d Dialect) isOneOf(column string, texts []string) (condition string, arg any) {
	if d == SQLite {
		return column + " IN (SELECT value FROM json_each(?))", asJSON(texts)
	}
	return column + " = ANY (?::text[])", texts
}

// contains returns the condition that a column contains the text of one argument.
func (d Dialect) contains(column string) string {
	if d == SQLite {
		return "instr(" + column + ", ?) > 0"
	}
	return "strpos(" + column + ", ?) > 0"
}

// endExists returns the end of an EXISTS subquery. PostgreSQL executes a subquery with
// an OFFSET for each row. Without the OFFSET it would turn the subquery into a join and
// choose the order of the joins itself.
func (d Dialect) endExists() string {
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
		return "[]" // unreachable: a list of strings always encodes
	}
	return strings.TrimSuffix(b.String(), "\n")
}
