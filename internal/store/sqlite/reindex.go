package sqlite

import (
	"context"
	"database/sql"
	"fmt"

	"muster/internal/store"
	"muster/internal/store/cascadesql"
	"muster/internal/store/writepath"
)

// Reindex implements store.Indexer.
func (s *Store) Reindex(ctx context.Context, how store.Reindexing) error {
	r := writepath.Reindexer{Reindexing: how, Info: &s.info, InGate: s.indexInGate, Chunks: &s.writer.chunks, Begun: s.useRules}
	err := s.checkTrusted(ctx)
	if err == nil {
		err = s.finishCascade(ctx)
	}
	if err == nil {
		err = r.Run(ctx)
	}
	if err == nil {
		err = s.compact(ctx)
	}
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause // not "interrupted"
		}
		return fmt.Errorf("rebuild the index: %w", explain(s.dir, err))
	}
	return nil
}

// compact deletes the versions that no job needs and rewrites directory.db, so that the
// free space of the file does not contain deleted data. Until it ends, the two temporary
// copies need free disk space of twice the size of the file.
func (s *Store) compact(ctx context.Context) error {
	if _, err := s.Vacuum(ctx); err != nil {
		return err
	}
	release, err := s.acquireWriter(ctx)
	if err != nil {
		return err
	}
	defer release()
	if err := rewrite(ctx, s.writer.db); err != nil {
		return fmt.Errorf("rewrite %s without deleted data: %w", directoryFile, err)
	}
	if off, err := withoutPageSums(ctx, s.jobsDB.readers); err != nil || !off && !s.trust {
		return err
	}
	if err := rewrite(ctx, s.jobsDB.writer); err != nil {
		return fmt.Errorf("rewrite %s with checksums: %w", jobsFile, err)
	}
	return nil
}

// indexInGate runs work in one transaction inside the gate.
func (s *Store) indexInGate(ctx context.Context, work func(writepath.IndexWriter) error) (err error) {
	release, err := s.acquireWriter(ctx)
	if err != nil {
		return err
	}
	defer release()
	sqlTx, err := s.writer.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() {
		_ = sqlTx.Rollback()
		if err != nil {
			s.writer.nameIDs = nil // some may have been rolled back
		}
	}()
	tx, err := s.writer.newWriteTx(ctx, sqlTx)
	if err != nil {
		return err
	}
	if err := work(indexWriter{tx}); err != nil {
		return err
	}
	return sqlTx.Commit()
}

// indexWriter implements writepath.IndexWriter.
type indexWriter struct{ *writeTx }

func (w indexWriter) Meta(ctx context.Context, key string) (string, error) {
	return metaValue(ctx, w.tx, key)
}

func (w indexWriter) SetMeta(ctx context.Context, key, value string) error {
	_, err := w.tx.ExecContext(ctx, setMeta, key, value)
	return err
}

func (w indexWriter) DeleteMeta(ctx context.Context, key string) error {
	_, err := w.tx.ExecContext(ctx, `DELETE FROM meta WHERE key = ?`, key)
	return err
}

func (w indexWriter) Documents(ctx context.Context, from store.RowKey, limit int, yield func(writepath.OwnDocument) error) error {
	var v version
	unsealed := map[store.RowKey]int64{}
	err := w.each(ctx, w.w.stmts.nextDocs, func(rows *sql.Rows) error {
		var key int64
		var tail sql.RawBytes
		var sum, inherited sql.NullInt64
		if err := v.scan(rows, &key, &tail, &sum, &inherited); err != nil {
			return err
		}
		if v.row.Key != 0 {
			if err := v.verify(); err != nil {
				return err
			}
			if !v.checksum.Present {
				unsealed[v.row.Key] = v.row.Sum(v.body)
			}
		}
		d, err := cascadesql.Own(store.RowKey(key), &v.row, v.body, tail, sum, inherited)
		if err != nil {
			return err
		}
		return yield(d)
	}, from, limit)
	if err != nil {
		return err
	}
	for key, sum := range unsealed {
		if err := w.exec(ctx, w.w.stmts.seal, int64(key), sum); err != nil {
			return err
		}
	}
	return nil
}

func (w indexWriter) WriteVersions(ctx context.Context, items []writepath.Item) error {
	for _, step := range []func(context.Context, []writepath.Item) error{w.findCurrent, w.keepVersions, w.writeRows, w.count, w.log} {
		if err := step(ctx, items); err != nil {
			return err
		}
	}
	if c := w.cascade(); c != nil {
		return c.KeepOwn(ctx, items)
	}
	return nil
}

func (w indexWriter) Cascade() *writepath.Cascade { return w.cascade() }

func (w indexWriter) Recount(ctx context.Context) error {
	for _, statement := range []string{`DELETE FROM resource_count`, writepath.Recount} {
		if _, err := w.tx.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

func (w indexWriter) ReplaceEntries(ctx context.Context, items []writepath.Item) error {
	keys := asJSON(writepath.Keys(items, store.Updated))
	if err := w.unlinkTexts(ctx, keys); err != nil {
		return err
	}
	for _, table := range writepath.Tables {
		if err := w.exec(ctx, w.w.stmts.entries[table].deleteAll, keys); err != nil {
			return err
		}
		rows, err := table.Rows(items, func(text string) (int64, error) { return w.nameID(ctx, text) })
		if err != nil {
			return err
		}
		if err := w.insertEntries(ctx, table, w.w.stmts.entries[table].insert, rows); err != nil {
			return err
		}
	}
	return w.deleteTexts(ctx, items)
}
