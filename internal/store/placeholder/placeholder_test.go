package placeholder

import "testing"

func TestNumber(t *testing.T) {
	for query, want := range map[string]string{
		"":                                "",
		"SELECT 1":                        "SELECT 1",
		"?":                               "$1",
		"SELECT ? WHERE a = ? LIMIT":      "SELECT $1 WHERE a = $2 LIMIT",
		"?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?": "$1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11",
	} {
		if got := Number(query); got != want {
			t.Errorf("Number(%q) = %q, want %q", query, got, want)
		}
	}
}
