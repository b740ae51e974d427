package writepath

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"muster/internal/failpoint"
	"muster/internal/store"
)

// IndexWriter is one stay inside the gate, in a transaction, as making an index anew
// needs it.
type IndexWriter interface {
	// Meta returns the value of a row of table meta, empty if there is none.
	Meta(ctx context.Context, key string) (string, error)
	SetMeta(ctx context.Context, key, value string) error
	DropMeta(ctx context.Context, key string) error
	// Documents yields up to limit current documents from a key on, in their order.
	// Lines are valid during the call of yield only.
	Documents(ctx context.Context, from store.RowKey, limit int, yield func(key store.RowKey, line []byte) error) error
	// Rewrite writes new versions of the items, which are current resources, with the
	// commit time of the transaction. Their index rows are those of before still.
	Rewrite(ctx context.Context, items []Item) error
	// ReplaceEntries drops all index rows of the items and writes those that they have
	// now. Rows that stay the same are written again too: the tables then hold what the
	// entries say, whatever they held before.
	ReplaceEntries(ctx context.Context, items []Item) error
}

// Reindexing is one call of store.Indexer.
type Reindexing struct {
	store.Reindexing
	Info *store.Identity // of the open directory; kept true
	// InGate runs work in one transaction inside the gate and commits it.
	InGate func(ctx context.Context, work func(w IndexWriter) error) error
	Pace   *Pace // used inside the gate only

	next     store.RowKey // where the next batch begins
	done     int64
	cleaned  int64
	cleaning bool // Cleaning has been called
	last     bool // the batch was the last one
}

// definitionsKey is the row of table meta that holds the definitions.
const definitionsKey = "definitions"

// Run makes the index, from where an earlier call was cut off or from the start.
func (r *Reindexing) Run(ctx context.Context) error {
	if err := r.InGate(ctx, func(w IndexWriter) error { return r.begin(ctx, w) }); err != nil {
		return err
	}
	r.Info.DefinitionsHash = r.Info.ReindexMarker(r.Reindexing)
	for !r.last {
		if err := r.InGate(ctx, func(w IndexWriter) error { return r.batch(ctx, w) }); err != nil {
			return err
		}
		if r.Progress != nil {
			r.Progress(r.done, r.cleaned)
		}
		if err := failpoint.Inject(ctx, "directory.reindex.committed"); err != nil {
			return err
		}
	}
	r.Info.DefinitionsHash, r.Info.Rules = r.Definitions, r.Rules
	return nil
}

// begin notes that the index is being made, or finds where that was cut off.
func (r *Reindexing) begin(ctx context.Context, w IndexWriter) error {
	noted, err := w.Meta(ctx, definitionsKey)
	if err != nil {
		return err
	}
	next, err := w.Meta(ctx, store.ReindexNextKey)
	if err != nil {
		return err
	}
	if r.next, err = r.Info.ResumeReindexAt(r.Reindexing, noted, next); err != nil {
		return err
	}
	if err := r.note(ctx, w); err != nil {
		return err
	}
	return failpoint.Inject(ctx, "directory.reindex.begin")
}

// note writes how far the making is.
func (r *Reindexing) note(ctx context.Context, w IndexWriter) error {
	if err := w.SetMeta(ctx, definitionsKey, r.Info.ReindexMarker(r.Reindexing)); err != nil {
		return err
	}
	return w.SetMeta(ctx, store.ReindexNextKey, strconv.FormatInt(int64(r.next), 10))
}

// batch makes the entries of the next resources, as many as one stay in the gate
// allows, and after the last of all notes that the index is made.
func (r *Reindexing) batch(ctx context.Context, w IndexWriter) error {
	noted, err := w.Meta(ctx, definitionsKey)
	if err != nil {
		return err
	}
	if err := r.Info.CheckUnchanged(noted); err != nil {
		return err
	}
	for start := time.Now(); !r.last && time.Since(start) < work; {
		if err := r.chunk(ctx, w); err != nil {
			return err
		}
	}
	if err := failpoint.Inject(ctx, "directory.reindex.commit"); err != nil {
		return err
	}
	if !r.last {
		return r.note(ctx, w)
	}
	if err := w.DropMeta(ctx, store.ReindexNextKey); err != nil {
		return err
	}
	key, value := store.RulesRow(r.Rules)
	if err := w.SetMeta(ctx, key, value); err != nil {
		return err
	}
	return w.SetMeta(ctx, definitionsKey, r.Definitions)
}

func (r *Reindexing) chunk(ctx context.Context, w IndexWriter) error {
	size, began := r.Pace.Size(), time.Now()
	var items, cleaned []Item
	err := w.Documents(ctx, r.next, size, func(key store.RowKey, line []byte) error {
		entries, clean, err := r.Extract(nil, key.Type(), line)
		if err != nil {
			return fmt.Errorf("the %v with row key %d: %w", key.Type(), key, err)
		}
		if clean != nil {
			cleaned = append(cleaned, Item{Change: clean, Outcome: store.Updated})
		}
		items = append(items, Item{Change: &store.Change{Type: key.Type(), Entries: entries}, Outcome: store.Updated, Key: key})
		return nil
	})
	if err != nil {
		return err
	}
	if err := r.rewrite(ctx, w, cleaned); err != nil {
		return err
	}
	if err := w.ReplaceEntries(ctx, items); err != nil {
		return err
	}
	if len(items) > 0 {
		r.next = items[len(items)-1].Key + 1
	}
	r.done += int64(len(items))
	r.last = len(items) < size
	r.Pace.Adapt(size, time.Since(began))
	return nil
}

// rewrite writes the cleaned versions of a chunk.
func (r *Reindexing) rewrite(ctx context.Context, w IndexWriter, cleaned []Item) error {
	if len(cleaned) == 0 {
		return nil
	}
	if !r.cleaning && r.Cleaning != nil {
		if err := r.Cleaning(ctx); err != nil {
			return err
		}
	}
	r.cleaning = true
	r.cleaned += int64(len(cleaned))
	return w.Rewrite(ctx, cleaned)
}
