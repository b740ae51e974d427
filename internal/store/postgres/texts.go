package postgres

import (
	"context"

	"muster/internal/search/index"
	"muster/internal/store/writepath"

	"github.com/jackc/pgx/v5"
)

const (
	// insertTexts returns the new texts with their ids.
	insertTexts = `INSERT INTO ix_text (param, norm) SELECT * FROM unnest($1::bigint[], $2::text[])
		ON CONFLICT (param, norm) DO NOTHING RETURNING text_id, param, norm`
	insertGrams = `INSERT INTO ix_gram (param, gram, text_id) SELECT * FROM unnest($1::bigint[], $2::text[], $3::bigint[])`
	textsOf     = `SELECT DISTINCT i.param, i.norm FROM unnest($1::bigint[]) AS k (key) JOIN ix_string AS i ON i.row_key = k.key`
	// deleteTexts deletes the texts that no row has any more, and returns them.
	deleteTexts = `DELETE FROM ix_text AS t USING unnest($1::bigint[], $2::text[]) AS k (param, norm)
		WHERE t.param = k.param AND t.norm = k.norm AND NOT EXISTS (
			SELECT 1 FROM ix_string AS s WHERE s.param = k.param AND s.norm = k.norm OFFSET 0)
		RETURNING t.text_id, t.param, t.norm`
	deleteGrams = `DELETE FROM ix_gram AS g USING unnest($1::bigint[], $2::text[], $3::bigint[]) AS k (param, gram, text_id)
		WHERE (g.param, g.gram, g.text_id) = (k.param, k.gram, k.text_id)`
)

// updateTexts inserts those of the texts that are new, and deletes the unlinked texts that no
// row has any more, with their n-grams.
func (tx *writeTx) updateTexts(ctx context.Context, texts, unlinked []writepath.Text) error {
	queue := &pgx.Batch{}
	for _, step := range []struct {
		texts            []writepath.Text
		byTexts, byGrams string
	}{{texts, insertTexts, insertGrams}, {unlinked, deleteTexts, deleteGrams}} {
		if len(step.texts) == 0 {
			continue
		}
		var params, textIDs []int64
		var grams []string
		var id int64
		var t writepath.Text
		err := tx.each(ctx, step.byTexts, []any{&id, &t.Param, &t.Norm}, func() {
			for _, gram := range index.Grams(t.Norm) {
				params, grams, textIDs = append(params, t.Param), append(grams, gram), append(textIDs, id)
			}
		}, textArrays(step.texts)...)
		if err != nil {
			return err
		}
		if len(grams) > 0 {
			queue.Queue(step.byGrams, params, grams, textIDs)
		}
	}
	return tx.send(ctx, queue)
}

// textArrays returns the texts as the two arrays that the statements take.
func textArrays(texts []writepath.Text) []any {
	params, norms := make([]int64, len(texts)), make([]string, len(texts))
	for i, t := range texts {
		params[i], norms[i] = t.Param, t.Norm
	}
	return []any{params, norms}
}
