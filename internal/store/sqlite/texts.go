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
	insert *sql.Stmt // gives new texts with their numbers, nothing for those that are there
	gram   insert
	unused *sql.Stmt // gives the number of a text without entries
	ungram *sql.Stmt
	remove *sql.Stmt
	ofRows *sql.Stmt
}

func (p *preparer) texts() textStatements {
	return textStatements{
		insert: p.stmt(`INSERT INTO ix_text (param, norm) SELECT value ->> 0, value ->> 1 FROM json_each(?1) WHERE true
			ON CONFLICT (param, norm) DO NOTHING RETURNING text_id, param, norm`),
		gram: p.insert(`INSERT INTO ix_gram (param, gram, text_id)`, 3, ``),
		unused: p.stmt(`SELECT t.text_id FROM ix_text AS t WHERE t.param = ?1 AND t.norm = ?2 AND NOT EXISTS
			(SELECT 1 FROM ix_string AS s INDEXED BY ix_string_value WHERE s.param = ?1 AND s.norm = ?2)`),
		ungram: p.stmt(`DELETE FROM ix_gram WHERE param = ?1 AND gram IN (SELECT value FROM json_each(?2)) AND text_id = ?3`),
		remove: p.stmt(`DELETE FROM ix_text WHERE text_id = ?1`),
		ofRows: p.stmt(`SELECT DISTINCT i.param, i.norm FROM json_each(?1) AS j CROSS JOIN ix_string AS i ON i.row_key = j.value`),
	}
}

// writeTexts adds those of the texts that are new.
func (b *stay) writeTexts(ctx context.Context, texts []writepath.Text) error {
	if len(texts) == 0 {
		return nil
	}
	list := make([][2]any, len(texts))
	for i, t := range texts {
		list[i] = [2]any{t.Param, t.Norm}
	}
	fresh := b.w.grams[:0]
	defer func() {
		clear(fresh) // the texts are not kept
		if cap(fresh) <= maxGramsKept {
			b.w.grams = fresh
		}
	}()
	err := b.each(ctx, b.w.text.texts.insert, func(rows *sql.Rows) error {
		var id int64
		var t writepath.Text
		err := rows.Scan(&id, &t.Param, &t.Norm)
		for _, piece := range index.Grams(t.Norm) {
			fresh = append(fresh, gram{t.Param, piece, id})
		}
		return err
	}, asJSON(list))
	if err != nil {
		return err
	}
	// In the order of the table, so that each of its pages is touched once.
	slices.SortFunc(fresh, func(a, b gram) int {
		return cmp.Or(cmp.Compare(a.param, b.param), cmp.Compare(a.piece, b.piece), cmp.Compare(a.text, b.text))
	})
	in := b.rows(ctx, b.w.text.texts.gram)
	for _, g := range fresh {
		in.add(g.param, g.piece, g.text)
	}
	return in.flush()
}

// maxGramsKept bounds the list that is kept for the next chunk, to about 10 MB.
const maxGramsKept = 1 << 18

// gram is a row of ix_gram.
type gram struct {
	param int64
	piece string
	text  int64
}

// leaveTexts notes the texts of rows that are about to be removed.
func (b *stay) leaveTexts(ctx context.Context, keys string) error {
	return b.each(ctx, b.w.text.texts.ofRows, func(rows *sql.Rows) error {
		var t writepath.Text
		err := rows.Scan(&t.Param, &t.Norm)
		b.left = append(b.left, t)
		return err
	}, keys)
}

// dropTexts removes those of the texts left that no row has any more.
func (b *stay) dropTexts(ctx context.Context, _ []writepath.Item) error {
	for _, t := range b.left {
		var id int64
		err := b.tx.StmtContext(ctx, b.w.text.texts.unused).QueryRowContext(ctx, t.Param, t.Norm).Scan(&id)
		if errors.Is(err, sql.ErrNoRows) {
			continue
		}
		if err != nil {
			return err
		}
		if err := b.exec(ctx, b.w.text.texts.ungram, t.Param, asJSON(index.Grams(t.Norm)), id); err != nil {
			return err
		}
		if err := b.exec(ctx, b.w.text.texts.remove, id); err != nil {
			return err
		}
	}
	b.left = b.left[:0]
	return nil
}
