// Package placeholder converts the placeholders of SQL statements.
package placeholder

import (
	"strconv"
	"strings"
)

// Number replaces the question marks of a query by $1, $2, … in order. The query must
// contain no other question marks.
func Number(query string) string {
	var b strings.Builder
	for n := 1; ; n++ {
		before, after, found := strings.Cut(query, "?")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		b.WriteString("$" + strconv.Itoa(n))
		query = after
	}
}
