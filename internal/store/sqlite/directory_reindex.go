package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"time"

	"muster/internal/fault"
	"muster/internal/store"
	"muster/internal/store/batch"
)

// Reindex implements store.Indexer.
func (s *Store) Reindex(ctx context.Context, definitions string, extract store.Extract, progress func(done int64)) error {
	if err := s.reindex(ctx, definitions, extract, progress); err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause // rather than "interrupted"
		}
		return fmt.Errorf("make the index anew: %w", explain(s.dir, err))
	}
	return nil
}

func (s *Store) reindex(ctx context.Context, definitions string, extract store.Extract, progress func(int64)) error {
	var r reindexing
	err := s.inGate(ctx, func(tx *sql.Tx) (err error) {
		r, err = s.writer.beginReindex(ctx, tx, definitions)
		return err
	})
	r.extract = extract
	for err == nil && !r.finished {
		s.info.DefinitionsHash = s.info.Unfinished(definitions)
		err = s.inGate(ctx, func(tx *sql.Tx) error { return r.batch(ctx, tx) })
		if err == nil {
			progress(r.done)
			err = fault.Point(ctx, "directory.reindex.committed")
		}
	}
	if err != nil {
		s.writer.names = nil // some may have been rolled back
		return err
	}
	s.info.DefinitionsHash = definitions
	return nil
}

// inGate runs one transaction inside the gate.
func (s *Store) inGate(ctx context.Context, work func(tx *sql.Tx) error) error {
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
	defer func() { _ = tx.Rollback() }()
	if err := work(tx); err != nil {
		return err
	}
	return tx.Commit()
}

// reindexing is one making of the index.
type reindexing struct {
	w           *writer
	definitions string
	extract     store.Extract
	next        store.RowKey // where the next batch begins
	done        int64
	finished    bool
}

// beginReindex notes that the index is being made, or finds where that was cut off.
func (w *writer) beginReindex(ctx context.Context, tx *sql.Tx, definitions string) (reindexing, error) {
	r := reindexing{w: w, definitions: definitions}
	noted, err := w.noted(ctx, tx)
	if err != nil {
		return r, err
	}
	var next string
	err = tx.QueryRowContext(ctx, `SELECT value FROM meta WHERE key = ?`, store.ReindexKey).Scan(&next)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return r, err
	}
	if r.next, err = w.info.ReindexFrom(definitions, noted, next); err != nil {
		return r, err
	}
	if err := r.note(ctx, tx); err != nil {
		return r, err
	}
	return r, fault.Point(ctx, "directory.reindex.begin")
}

// note writes how far the making is.
func (r *reindexing) note(ctx context.Context, tx *sql.Tx) error {
	set := tx.StmtContext(ctx, r.w.text.setMeta)
	if _, err := set.ExecContext(ctx, "definitions", r.w.info.Unfinished(r.definitions)); err != nil {
		return err
	}
	_, err := set.ExecContext(ctx, store.ReindexKey, strconv.FormatInt(int64(r.next), 10))
	return err
}

// batch makes the entries of the next resources, as many as one stay in the gate
// allows, and after the last of all notes that the index is made.
func (r *reindexing) batch(ctx context.Context, tx *sql.Tx) error {
	if err := r.w.sameDefinitions(ctx, tx); err != nil {
		return err
	}
	b := &stay{w: r.w, tx: tx}
	var done int64
	next, last := r.next, false
	for start := time.Now(); !last && time.Since(start) < batch.Work; {
		size, began := r.w.pace.Size(), time.Now()
		items, err := r.items(ctx, b, next, size)
		if err != nil {
			return err
		}
		if err := b.replaceEntries(ctx, items); err != nil {
			return err
		}
		if last = len(items) < size; len(items) > 0 {
			next = items[len(items)-1].Key + 1
		}
		done += int64(len(items))
		r.w.pace.Adapt(size, time.Since(began))
	}
	if err := fault.Point(ctx, "directory.reindex.commit"); err != nil {
		return err
	}
	r.next, r.done, r.finished = next, r.done+done, last
	if last {
		return r.end(ctx, tx)
	}
	return r.note(ctx, tx)
}

// items reads the next documents and finds their entries.
func (r *reindexing) items(ctx context.Context, b *stay, next store.RowKey, size int) ([]batch.Item, error) {
	var items []batch.Item
	err := b.each(ctx, b.w.text.nextDocs, func(rows *sql.Rows) error {
		var key store.RowKey
		var body sql.RawBytes
		if err := rows.Scan(&key, &body); err != nil {
			return err
		}
		entries, err := r.extract(nil, key.Type(), body)
		if err != nil {
			return fmt.Errorf("the %v with row key %d: %w", key.Type(), key, err)
		}
		items = append(items, batch.Item{Change: &store.Change{Type: key.Type(), Entries: entries}, Outcome: store.Updated, Key: key})
		return nil
	}, next, size)
	return items, err
}

// end notes that the index follows from the definitions.
func (r *reindexing) end(ctx context.Context, tx *sql.Tx) error {
	if _, err := tx.ExecContext(ctx, `DELETE FROM meta WHERE key = ?`, store.ReindexKey); err != nil {
		return err
	}
	_, err := tx.StmtContext(ctx, r.w.text.setMeta).ExecContext(ctx, "definitions", r.definitions)
	return err
}

// replaceEntries drops all index rows of the items and writes those that they have
// now. Rows that stay the same are written again too: the tables then hold what the
// entries say, whatever they held before.
func (b *stay) replaceEntries(ctx context.Context, items []batch.Item) error {
	keys := asJSON(batch.Keys(items, store.Updated))
	if err := b.leaveTexts(ctx, keys); err != nil {
		return err
	}
	for _, table := range batch.Tables {
		if err := b.exec(ctx, b.w.text.entries[table].clear, keys); err != nil {
			return err
		}
		want, err := table.Wanted(items, func(text string) (int64, error) { return b.nameID(ctx, text) })
		if err != nil {
			return err
		}
		if err := b.insertEntries(ctx, table, want); err != nil {
			return err
		}
	}
	return b.dropTexts(ctx, items)
}

// noted reads the definitions that the index follows from.
func (w *writer) noted(ctx context.Context, tx *sql.Tx) (definitions string, err error) {
	err = tx.StmtContext(ctx, w.text.definitions).QueryRowContext(ctx).Scan(&definitions)
	return definitions, err
}

// sameDefinitions refuses to write into an index that another process has begun to
// make anew since this one opened the directory: its entries would be the old ones.
func (w *writer) sameDefinitions(ctx context.Context, tx *sql.Tx) error {
	noted, err := w.noted(ctx, tx)
	if err != nil {
		return err
	}
	if noted != w.info.DefinitionsHash {
		return fmt.Errorf("another program has made the index anew since this one opened the directory: run this one again")
	}
	return nil
}
