package sqlite

import (
	"context"
	"database/sql"
	"fmt"

	"muster/internal/store"
	"muster/internal/store/writepath"
)

// Reindex implements store.Indexer.
func (s *Store) Reindex(ctx context.Context, how store.Reindexing) error {
	r := writepath.Reindexing{Reindexing: how, Info: &s.info, InGate: s.indexInGate, Pace: &s.writer.pace}
	err := r.Run(ctx)
	if err == nil {
		err = s.rewrite(ctx)
	}
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause // rather than "interrupted"
		}
		return fmt.Errorf("make the index anew: %w", explain(s.dir, err))
	}
	return nil
}

// rewrite drops the versions that no job needs and writes directory.db anew, so that what was
// taken out of a resource does not lie in its free space either. It needs free disk space for
// two more such files meanwhile.
func (s *Store) rewrite(ctx context.Context) error {
	if _, err := s.Vacuum(ctx); err != nil {
		return err
	}
	leave, err := s.gate.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, statement := range []string{`VACUUM`, `PRAGMA wal_checkpoint(TRUNCATE)`} {
		if _, err := s.writer.db.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("write %s without what was deleted: %w", directoryFile, err)
		}
	}
	return nil
}

// indexInGate runs one transaction inside the gate.
func (s *Store) indexInGate(ctx context.Context, work func(writepath.IndexWriter) error) (err error) {
	leave, err := s.gate.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	s.mu.Lock()
	defer s.mu.Unlock()
	tx, err := s.writer.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() {
		_ = tx.Rollback()
		if err != nil {
			s.writer.names = nil // some may have been rolled back
		}
	}()
	b, err := s.writer.stamp(ctx, tx)
	if err != nil {
		return err
	}
	if err := work(indexWriter{b}); err != nil {
		return err
	}
	return tx.Commit()
}

// indexWriter implements writepath.IndexWriter.
type indexWriter struct{ *stay }

func (w indexWriter) Meta(ctx context.Context, key string) (string, error) {
	return fact(ctx, w.tx, key)
}

func (w indexWriter) SetMeta(ctx context.Context, key, value string) error {
	_, err := w.tx.ExecContext(ctx, `REPLACE INTO meta (key, value) VALUES (?, ?)`, key, value)
	return err
}

func (w indexWriter) DropMeta(ctx context.Context, key string) error {
	_, err := w.tx.ExecContext(ctx, `DELETE FROM meta WHERE key = ?`, key)
	return err
}

func (w indexWriter) Documents(ctx context.Context, from store.RowKey, limit int, yield func(store.RowKey, []byte) error) error {
	return w.each(ctx, w.w.text.nextDocs, func(rows *sql.Rows) error {
		var key store.RowKey
		var body sql.RawBytes
		if err := rows.Scan(&key, &body); err != nil {
			return err
		}
		return yield(key, body)
	}, from, limit)
}

func (w indexWriter) Rewrite(ctx context.Context, items []writepath.Item) error {
	for _, step := range []func(context.Context, []writepath.Item) error{w.findCurrent, w.keepVersions, w.writeRows} {
		if err := step(ctx, items); err != nil {
			return err
		}
	}
	return nil
}

func (w indexWriter) ReplaceEntries(ctx context.Context, items []writepath.Item) error {
	keys := asJSON(writepath.Keys(items, store.Updated))
	if err := w.leaveTexts(ctx, keys); err != nil {
		return err
	}
	for _, table := range writepath.Tables {
		if err := w.exec(ctx, w.w.text.entries[table].clear, keys); err != nil {
			return err
		}
		want, err := table.Wanted(items, func(text string) (int64, error) { return w.nameID(ctx, text) })
		if err != nil {
			return err
		}
		if err := w.insertEntries(ctx, table, want); err != nil {
			return err
		}
	}
	return w.dropTexts(ctx, items)
}
