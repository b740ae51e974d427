package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"slices"

	"muster/internal/search/index"
	"muster/internal/store/writepath"
)

type textStatements struct {
	insert      *sql.Stmt // returns the new texts with their ids
	gram        insert
	unused      *sql.Stmt // returns the id of a text that no row of ix_string has
	deleteGrams *sql.Stmt
	delete      *sql.Stmt
	ofRows      *sql.Stmt
}

func (p *preparer) texts(ctx context.Context) textStatements {
	return textStatements{
		insert: p.stmt(ctx, `INSERT INTO ix_text (param, norm) SELECT value ->> 0, value ->> 1 FROM json_each(?1) WHERE true
			ON CONFLICT (param, norm) DO NOTHING RETURNING text_id, param, norm`),
		gram: p.insert(ctx, `INSERT INTO ix_gram (param, gram, text_id)`, 3, ``),
		unused: p.stmt(ctx, `SELECT t.text_id FROM ix_text AS t WHERE t.param = ?1 AND t.norm = ?2 AND NOT EXISTS
			(SELECT 1 FROM ix_string AS s INDEXED BY ix_string_value WHERE s.param = ?1 AND s.norm = ?2)`),
		deleteGrams: p.stmt(ctx, `DELETE FROM ix_gram WHERE param = ?1 AND gram IN (SELECT value FROM json_each(?2)) AND text_id = ?3`),
		delete:      p.stmt(ctx, `DELETE FROM ix_text WHERE text_id = ?1`),
		ofRows:      p.stmt(ctx, `SELECT DISTINCT i.param, i.norm FROM json_each(?1) AS j CROSS JOIN ix_string AS i ON i.row_key = j.value`),
	}
}

// insertTexts inserts the texts that are new, with their n-grams.
func (tx *writeTx) insertTexts(ctx context.Context, texts []writepath.Text) error {
	if len(texts) == 0 {
		return nil
	}
	list := make([][2]any, len(texts))
	for i, t := range texts {
		list[i] = [2]any{t.Param, t.Norm}
	}
	grams := tx.w.grams[:0]
	defer func() {
		clear(grams) // do not keep the strings in memory
		if cap(grams) <= maxGramsKept {
			tx.w.grams = grams
		}
	}()
	err := tx.each(ctx, tx.w.stmts.texts.insert, func(rows *sql.Rows) error {
		var id int64
		var t writepath.Text
		err := rows.Scan(&id, &t.Param, &t.Norm)
		for _, g := range index.Grams(t.Norm) {
			grams = append(grams, gram{t.Param, g, id})
		}
		return err
	}, asJSON(list))
	if err != nil {
		return err
	}
	// In the order of the table, so that each of its pages is written once.
	slices.SortFunc(grams, func(a, b gram) int {
		return cmp.Or(cmp.Compare(a.param, b.param), cmp.Compare(a.gram, b.gram), cmp.Compare(a.text, b.text))
	})
	in := tx.newInserter(tx.w.stmts.texts.gram)
	for _, g := range grams {
		if err := in.add(ctx, g.param, g.gram, g.text); err != nil {
			return err
		}
	}
	return in.flush(ctx)
}

// maxGramsKept limits the buffer that is kept for the next chunk, to about 10 MB.
const maxGramsKept = 1 << 18

// gram is a row of ix_gram.
type gram struct {
	param int64
	gram  string
	text  int64
}

// unlinkTexts remembers the texts of rows that are to be deleted.
func (tx *writeTx) unlinkTexts(ctx context.Context, keys string) error {
	return tx.each(ctx, tx.w.stmts.texts.ofRows, func(rows *sql.Rows) error {
		var t writepath.Text
		err := rows.Scan(&t.Param, &t.Norm)
		tx.unlinked = append(tx.unlinked, t)
		return err
	}, keys)
}

// deleteTexts deletes the unlinked texts that no row has any more, with their n-grams.
func (tx *writeTx) deleteTexts(ctx context.Context, _ []writepath.Item) error {
	for _, t := range tx.unlinked {
		var id int64
		err := tx.tx.StmtContext(ctx, tx.w.stmts.texts.unused).QueryRowContext(ctx, t.Param, t.Norm).Scan(&id)
		if errors.Is(err, sql.ErrNoRows) {
			continue
		}
		if err != nil {
			return err
		}
		if err := tx.exec(ctx, tx.w.stmts.texts.deleteGrams, t.Param, asJSON(index.Grams(t.Norm)), id); err != nil {
			return err
		}
		if err := tx.exec(ctx, tx.w.stmts.texts.delete, id); err != nil {
			return err
		}
	}
	tx.unlinked = tx.unlinked[:0]
	return nil
}
