package writepath

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"muster/internal/failpoint"
	"muster/internal/search/index"
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
	// missing. Documents are valid during the call of yield only.
	Documents(ctx context.Context, from store.RowKey, limit int, yield func(OwnDocument) error) error
	// WriteVersions writes new versions of the items, which are current resources, with
	// the commit time of the transaction. It does not write their index rows.
	WriteVersions(ctx context.Context, items []Item) error
	// Cascade returns what writes the states that resources inherit, nil without rules.
	Cascade() *Cascade
	// Recount counts the rows of table resource again for table resource_count.
	Recount(ctx context.Context) error
	// ReplaceEntries deletes all index rows of the items and inserts those of their
	// entries. It also writes rows again that stay the same, so that a damaged table is
	// correct afterwards.
	ReplaceEntries(ctx context.Context, items []Item) error
}

// OwnDocument is a stored resource without what it inherits.
type OwnDocument struct {
	Key       store.RowKey
	ID        string
	Line      []byte
	Tail      []byte           // of the own document, nil if the resource inherits nothing
	Inherited index.Visibility // what it inherits
}

// Reindexer runs one call of store.Indexer.
type Reindexer struct {
	store.Reindexing
	Info *store.Identity // of the open directory; updated as the definitions change
	// InGate runs work in one transaction inside the gate and commits it.
	InGate func(ctx context.Context, work func(w IndexWriter) error) error
	Chunks *ChunkSizer // used inside the gate only
	// Begun is called when the base URL of the directory has changed, outside the gate.
	Begun func() error

	next     store.RowKey // the first row key of the next chunk
	done     int64
	cleaned  int64
	cleaning bool // Cleaning has been called
	last     bool // the last chunk has been written

	cascades    bool         // the directory has rules for what resources inherit
	settled     bool         // every resource shows what it inherits
	settledType int          // index of the type whose resources are next
	settledNext store.RowKey // the first of them
}

// Recount is the statement that fills table resource_count.
const Recount = `INSERT INTO resource_count (type, visibility, number) SELECT type, visibility & 3, count(*) FROM resource GROUP BY type, visibility & 3`

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
	if err := r.Begun(); err != nil {
		return err
	}
	for !r.settled {
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
	r.Info.Cascades = r.Info.Cascades || r.cascades
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
	for start := time.Now(); !r.settled; {
		step := r.writeChunk
		if r.last {
			step = r.settleChunk
		}
		if err := step(ctx, w); err != nil {
			return err
		}
		if time.Since(start) >= transactionTime {
			break
		}
	}
	if err := failpoint.Inject(ctx, "directory.reindex.commit"); err != nil {
		return err
	}
	if !r.settled {
		return r.saveProgress(ctx, w, *r.Info)
	}
	if r.cascades {
		key, value := store.CascadesRow()
		if err := w.SetMeta(ctx, key, value); err != nil {
			return err
		}
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
	cascade := w.Cascade()
	err := w.Documents(ctx, r.next, size, func(d OwnDocument) error {
		entries, clean, err := r.Extract(nil, d.Key.Type(), d.Line)
		if err != nil {
			return fmt.Errorf("the %v with row key %d: %w", d.Key.Type(), d.Key, err)
		}
		it := Item{Change: &store.Change{Type: d.Key.Type(), ID: d.ID, Entries: entries}, Outcome: store.Updated, Key: d.Key}
		if d.Tail != nil {
			if err := r.showInherited(cascade, &it, d, clean); err != nil {
				return err
			}
		}
		if clean != nil {
			cleaned = append(cleaned, Item{Change: clean, Outcome: store.Updated, Inherited: d.Inherited, composed: it.composed})
		}
		items = append(items, it)
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

// settleChunk writes those of the next resources that do not show what they inherit, as new versions,
// level by level. No server runs meanwhile, so nothing is pending.
func (r *Reindexer) settleChunk(ctx context.Context, w IndexWriter) error {
	cascade := w.Cascade()
	if r.cascades = cascade != nil; !r.cascades {
		r.settled = true
		return nil
	}
	types := cascade.inheriting()
	if r.settledType == len(types) {
		r.settled = true
		return nil
	}
	first, last := store.KeyRange(types[r.settledType])
	size, began := r.Chunks.Size(), time.Now()
	keys, err := cascade.Graph.Range(ctx, max(first, r.settledNext), last, size)
	if err != nil {
		return err
	}
	if len(keys) == 0 {
		r.settledType, r.settledNext = r.settledType+1, 0
		return nil
	}
	r.settledNext = keys[len(keys)-1] + 1
	if err := cascade.Rewrite(ctx, keys, nil, false); err != nil {
		return err
	}
	r.Chunks.Adapt(size, time.Since(began))
	return nil
}

// showInherited gives an item the entries of the document that shows what it inherits, and the
// document itself, if it has to be cleaned.
func (r *Reindexer) showInherited(c *Cascade, it *Item, d OwnDocument, clean *store.Change) error {
	if c == nil {
		return fmt.Errorf("the %v with row key %d inherits a state: this program has no rules for that", d.Key.Type(), d.Key)
	}
	own := store.Document{Head: store.Head(it.Type, it.ID), Tail: d.Tail}
	if clean != nil {
		own = clean.Document
	}
	shown := Item{Change: &store.Change{Type: it.Type, ID: it.ID, Document: own}, Inherited: d.Inherited}
	if err := c.compose(&shown); err != nil {
		return err
	}
	it.composed = shown.composed
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
