package writepath

import "muster/internal/search/index"

// Text is a normalised string of ix_string and its parameter. Table ix_text holds each text
// once, and table ix_gram its n-grams ([index.Grams]), for searches with :contains. A text
// is inserted with its first entry and deleted with its last one. A driver keeps no texts
// from one transaction to the next, since another process may write in between.
type Text struct {
	Param int64
	Norm  string
}

// Texts returns the texts of rows of the table, each once. It returns nothing for a table
// that does not hold strings. The rows must be sorted as [Table.Rows] sorts them.
func (t *Table) Texts(rows []Row) (texts []Text) {
	if t.Kind != index.String {
		return nil
	}
	for _, r := range rows {
		text := Text{r.Param, r.Text}
		if len(texts) == 0 || texts[len(texts)-1] != text {
			texts = append(texts, text)
		}
	}
	return texts
}
