package postgres

import (
	"context"
	"database/sql"
	"fmt"

	"muster/internal/store"
	"muster/internal/store/cascadesql"
	"muster/internal/store/writepath"

	"github.com/jackc/pgx/v5"
)

// Reindex implements store.Indexer.
func (s *Store) Reindex(ctx context.Context, how store.Reindexing) error {
	r := writepath.Reindexer{Reindexing: how, Info: &s.info, InGate: s.indexInGate, Chunks: &s.chunks, Begun: s.useRules}
	err := s.finishCascade(ctx)
	if err == nil {
		err = r.Run(ctx)
	}
	if err == nil {
		_, err = s.Vacuum(ctx)
	}
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause // not "interrupted"
		}
		return fmt.Errorf("rebuild the index: %w", explain(err))
	}
	return nil
}

// indexInGate runs work in one transaction inside the gate.
func (s *Store) indexInGate(ctx context.Context, work func(writepath.IndexWriter) error) error {
	gate, err := s.acquireGate(ctx)
	if err != nil {
		return err
	}
	defer gate.release()
	s.mu.Lock()
	defer s.mu.Unlock()
	tx, err := s.newWriteTx(ctx, gate)
	if err != nil {
		return err
	}
	err = gate.raw(func(conn *pgx.Conn) error {
		tx.conn = conn
		return work(indexWriter{tx})
	})
	if err == nil {
		err = gate.tx.Commit()
	}
	if err != nil {
		s.nameIDs = nil // some may have been rolled back
	}
	return err
}

// indexWriter implements writepath.IndexWriter.
type indexWriter struct{ *writeTx }

func (w indexWriter) Meta(ctx context.Context, key string) (string, error) {
	return metaValue(ctx, w.conn, key)
}

func (w indexWriter) SetMeta(ctx context.Context, key, value string) error {
	_, err := w.conn.Exec(ctx, setMeta, key, value)
	return err
}

func (w indexWriter) DeleteMeta(ctx context.Context, key string) error {
	_, err := w.conn.Exec(ctx, `DELETE FROM meta WHERE key = $1`, key)
	return err
}

func (w indexWriter) Documents(ctx context.Context, from store.RowKey, limit int, yield func(writepath.OwnDocument) error) error {
	var keys, sums []int64
	err := eachRaw(ctx, w.conn, nextDocs, func(values [][]byte) error {
		key := decodeBigint(values[versionValues])
		if values[0] == nil {
			return yield(writepath.OwnDocument{Key: store.RowKey(key), Line: values[8]})
		}
		row, line, err := verified(values)
		if err != nil {
			return err
		}
		if values[7] == nil {
			keys, sums = append(keys, key), append(sums, row.Sum(line))
		}
		own := values[versionValues+1:]
		sum := sql.NullInt64{Int64: decodeBigint(own[1]), Valid: own[1] != nil}
		d, err := cascadesql.Own(row.Key, &row, line, own[0], sum, sql.NullInt64{Int64: decodeBigint(own[2]), Valid: true})
		if err != nil {
			return err
		}
		return yield(d)
	}, int64(from), limit)
	if err != nil || len(keys) == 0 {
		return err
	}
	_, err = w.conn.Exec(ctx, `UPDATE resource AS r SET checksum = k.sum FROM unnest($1::bigint[], $2::bigint[]) AS k (key, sum) WHERE r.row_key = k.key`, keys, sums)
	return err
}

const nextDocs = `SELECT ` + versionColumns + `, d.row_key, f.tail, f.checksum, r.inherited_visibility FROM doc AS d
	LEFT JOIN resource AS r ON r.row_key = d.row_key LEFT JOIN own_form AS f ON f.row_key = d.row_key
	WHERE d.row_key >= $1 ORDER BY d.row_key LIMIT $2`

func (w indexWriter) Cascade() *writepath.Cascade { return w.cascade() }

func (w indexWriter) Recount(ctx context.Context) error {
	queue := &pgx.Batch{}
	queue.Queue(`DELETE FROM resource_count WHERE type > 0`)
	queue.Queue(writepath.Recount)
	return w.send(ctx, queue)
}

func (w indexWriter) WriteVersions(ctx context.Context, items []writepath.Item) error {
	if err := w.findCurrent(ctx, items); err != nil {
		return err
	}
	if err := w.endVersions(ctx, items); err != nil {
		return err
	}
	queue := &pgx.Batch{}
	w.queueRows(queue, items)
	queueCounts(queue, items)
	w.queueLog(queue, items)
	if err := w.send(ctx, queue); err != nil {
		return err
	}
	if c := w.cascade(); c != nil {
		return c.KeepOwn(ctx, items)
	}
	return nil
}

func (w indexWriter) ReplaceEntries(ctx context.Context, items []writepath.Item) error {
	keys := int64s(writepath.Keys(items, store.Updated))
	var unlinked, texts []writepath.Text
	var t writepath.Text
	if err := w.each(ctx, textsOf, []any{&t.Param, &t.Norm}, func() { unlinked = append(unlinked, t) }, keys); err != nil {
		return err
	}
	queue := &pgx.Batch{}
	for _, table := range writepath.Tables {
		rows, err := table.Rows(items, func(text string) (int64, error) { return w.nameID(ctx, text) })
		if err != nil {
			return err
		}
		queue.Queue(`DELETE FROM `+table.Name+` WHERE row_key = ANY ($1::bigint[])`, keys)
		if texts = append(texts, table.Texts(rows)...); len(rows) > 0 {
			columns, args := columnsOf(table, rows)
			queue.Queue(`INSERT INTO `+table.Name+` (`+columnNames(table, "")+`) SELECT * FROM unnest(`+columns+`)`, args...)
		}
	}
	if err := w.send(ctx, queue); err != nil {
		return err
	}
	return w.updateTexts(ctx, texts, unlinked)
}
