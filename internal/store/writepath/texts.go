package writepath

import "muster/internal/search/index"

// Text is a text of ix_string under its parameter. The tables ix_text and ix_gram
// hold each once, with its pieces ([index.Grams]), for searches of texts that
// contain another. A text comes with its first entry and goes with its last; no
// driver remembers texts from one batch to the next, since another process may
// write in between.
type Text struct {
	Param int64
	Norm  string
}

// Texts returns the texts of rows of the table each once, if they are strings. Rows
// are sorted as Wanted sorts them.
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
