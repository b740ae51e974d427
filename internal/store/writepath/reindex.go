package writepath

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"muster/internal/failpoint"
	"muster/internal/store"
)

// IndexWriter writes to the index in one transaction inside the write gate.
type IndexWriter interface {
	// Meta returns the value of a row of table meta, empty if there is none.
	Meta(ctx context.Context, key string) (string, error)
	SetMeta(ctx context.Context, key, value string) error
	DeleteMeta(ctx context.Context, key string) error
	// Documents yields up to limit current documents, from a key on, in ascending order
	// of keys. It verifies the checksums of their versions, and writes those that are
	// missing. Lines are valid during the call of yield only.
	Documents(ctx context.Context, from store.RowKey, limit int, yield func(key store.RowKey, line []byte) error) error
	// WriteVersions writes new versions of the items, which are current resources, with
	// the commit time of the transaction. It does not write their index rows.
	WriteVersions(ctx context.Context, items []Item) error
	// Recount counts the rows of table resource again for table resource_count.
	Recount(ctx context.Context) error
	// ReplaceEntries deletes all index rows of the items and inserts those of their
	// entries. It also writes rows again that stay the same, so that a damaged table is
	// correct afterwards.
	ReplaceEntries(ctx context.Context, items []Item) error
}

// Reindexer runs one call of store.Indexer.
type Reindexer struct {
	store.Reindexing
	Info *store.Identity // of the open directory; updated as the definitions change
	// InGate runs work in one transaction inside the gate and commits it.
	InGate func(ctx context.Context, work func(w IndexWriter) error) error
	Chunks *ChunkSizer // used inside the gate only

	next     store.RowKey // the first row key of the next chunk
	done     int64
	cleaned  int64
	cleaning bool // Cleaning has been called
	last     bool // the last chunk has been written
}

// Recount is the statement that fills table resource_count.
const Recount = `INSERT INTO resource_count (type, visibility, number) SELECT type, visibility, count(*) FROM resource GROUP BY type, visibility`

// definitionsKey is the key of the row of table meta that holds the definitions.
const definitionsKey = "definitions"

// Run rebuilds the index. It resumes where an earlier call was interrupted.
func (r *Reindexer) Run(ctx context.Context) error {
	moved := r.Info.MovedTo(r.BaseURL)
	if err := r.InGate(ctx, func(w IndexWriter) error { return r.begin(ctx, w, moved) }); err != nil {
		return err
	}
	*r.Info = moved
	r.Info.DefinitionsHash = r.Info.ReindexMarker(r.Reindexing)
	for !r.last {
		if err := r.InGate(ctx, func(w IndexWriter) error { return r.writeTransaction(ctx, w) }); err != nil {
			return err
		}
		if r.Progress != nil {
			r.Progress(r.done, r.cleaned)
		}
		if err := failpoint.Inject(ctx, "directory.reindex.committed"); err != nil {
			return err
		}
	}
	r.Info.DefinitionsHash, r.Info.Rules, r.Info.Checksummed = r.Definitions, r.Rules, true
	return nil
}

// begin stores the base URL, marks the index as being rebuilt, and reads where an earlier call
// was interrupted.
func (r *Reindexer) begin(ctx context.Context, w IndexWriter, moved store.Identity) error {
	stored, err := w.Meta(ctx, definitionsKey)
	if err != nil {
		return err
	}
	next, err := w.Meta(ctx, store.ReindexNextKey)
	if err != nil {
		return err
	}
	if r.next, err = moved.ResumeReindexAt(r.Reindexing, stored, next); err != nil {
		return err
	}
	for _, row := range [][2]string{{store.BaseURLKey, moved.BaseURL}, {store.FormerKey, moved.Former}} {
		if err := w.SetMeta(ctx, row[0], row[1]); err != nil {
			return err
		}
	}
	if err := r.saveProgress(ctx, w, moved); err != nil {
		return err
	}
	return failpoint.Inject(ctx, "directory.reindex.begin")
}

// saveProgress writes the key at which the next call resumes.
func (r *Reindexer) saveProgress(ctx context.Context, w IndexWriter, info store.Identity) error {
	if err := w.SetMeta(ctx, definitionsKey, info.ReindexMarker(r.Reindexing)); err != nil {
		return err
	}
	return w.SetMeta(ctx, store.ReindexNextKey, strconv.FormatInt(int64(r.next), 10))
}

// writeTransaction indexes as many resources as one transaction takes, at least a chunk. After
// the last resource it marks the index as complete.
func (r *Reindexer) writeTransaction(ctx context.Context, w IndexWriter) error {
	stored := *r.Info
	var err error
	if stored.DefinitionsHash, err = w.Meta(ctx, definitionsKey); err != nil {
		return err
	}
	if err := r.Info.CheckUnchanged(stored); err != nil { // another reindex has begun
		return err
	}
	for start := time.Now(); !r.last; {
		if err := r.writeChunk(ctx, w); err != nil {
			return err
		}
		if time.Since(start) >= transactionTime {
			break
		}
	}
	if err := failpoint.Inject(ctx, "directory.reindex.commit"); err != nil {
		return err
	}
	if !r.last {
		return r.saveProgress(ctx, w, *r.Info)
	}
	if err := w.DeleteMeta(ctx, store.ReindexNextKey); err != nil {
		return err
	}
	if err := w.Recount(ctx); err != nil {
		return err
	}
	key, value := store.RulesRow(r.Rules)
	if err := w.SetMeta(ctx, key, value); err != nil {
		return err
	}
	key, value = store.ChecksumsRow()
	if err := w.SetMeta(ctx, key, value); err != nil {
		return err
	}
	return w.SetMeta(ctx, definitionsKey, r.Definitions)
}

func (r *Reindexer) writeChunk(ctx context.Context, w IndexWriter) error {
	size, began := r.Chunks.Size(), time.Now()
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
	if err := r.writeCleaned(ctx, w, cleaned); err != nil {
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
	r.Chunks.Adapt(size, time.Since(began))
	return nil
}

// writeCleaned writes the cleaned versions of a chunk.
func (r *Reindexer) writeCleaned(ctx context.Context, w IndexWriter, cleaned []Item) error {
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
	return w.WriteVersions(ctx, cleaned)
}
