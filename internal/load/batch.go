package load

import (
	"context"
	"slices"

	"muster/internal/fhir"
	"muster/internal/search/index"
	"muster/internal/store"

	"github.com/valyala/fastjson"
)

// A batch is full when it reaches one of these sizes.
const (
	batchItems = 1000
	batchBytes = 4 << 20
)

// item is a piece of an input. Its text is part of the batch's text.
type item struct {
	piece
	start, end int // of its text in batch.text
}

// batch is a sequence of items and the result of preparing them.
type batch struct {
	text      []byte
	items     []item
	name      string // of the input in which the batch ends
	bytesRead int64  // bytes read of all inputs when the batch was full

	prepared  chan struct{} // closed when the fields below are set
	resources int
	changes   []store.Change // those of refusals have only type and id
	accepted  []committed    // in the order of changes, without those of refusals; removals too
	refused   []refused      // in the order of the source
}

// refused is a refusal that is not reported yet.
type refused struct {
	Rejected
	hiddenBy index.Visibility // the flags by which the refused resource says that it is hidden
	guessed  bool             // type and id are a guess: ignored unless the directory has such a resource
	change   int              // its index in batch.changes, or -1 if the directory cannot have the resource
	order    int              // how many changes come before it
}

func newBatch() *batch { return &batch{prepared: make(chan struct{})} }

// bufferPool holds text buffers of prepared batches for new batches. Without it, growing
// text buffers are a quarter of all allocated bytes.
type bufferPool chan []byte

func newBufferPool() bufferPool { return make(bufferPool, workers) }

// get gives a batch an empty buffer.
func (t bufferPool) get(b *batch) {
	select {
	case b.text = <-t:
	default:
	}
}

// put returns the buffer of a batch to the pool, unless a very long line made it large.
func (t bufferPool) put(b *batch) {
	if cap(b.text) <= 2*batchBytes {
		select {
		case t <- b.text[:0]:
		default:
		}
	}
	b.text = nil
}

func (b *batch) full() bool { return len(b.items) >= batchItems || len(b.text) >= batchBytes }

// add appends a copy of a piece.
func (b *batch) add(p piece) {
	i := item{piece: p, start: len(b.text)}
	b.text = append(b.text, p.text...)
	i.end, i.text = len(b.text), nil
	b.items = append(b.items, i)
}

// prepare turns the items into changes and refusals. When ctx ends, it returns early, and the
// batch must not be committed.
func (b *batch) prepare(ctx context.Context, p *preparer) {
	defer close(b.prepared)
	for _, i := range b.items {
		if ctx.Err() != nil {
			return
		}
		i.text = b.text[i.start:i.end]
		if i.refusal != nil {
			b.refuseText(i, i.refusal)
			continue
		}
		if i.removal {
			b.prepareRemoval(i)
			continue
		}
		v, r := p.parse(i.text)
		switch {
		case r != nil:
			b.refuseText(i, r)
		case i.entry:
			b.prepareEntry(ctx, p, i, v, indexed("entry", i.number), i.urls)
		case string(v.GetStringBytes("resourceType")) == "Bundle":
			b.prepareBundle(ctx, p, i, v)
		default:
			b.prepareResource(ctx, p, i, v, plain)
		}
	}
	p.buffers.put(b)
}

// refuse refuses one resource, or one piece without a named resource. If the directory may
// have the resource, the refusal is a change too: the stored version may have to be hidden,
// and its state is reported.
func (b *batch) refuse(i item, c candidate, r *Refusal) {
	if !c.guessed {
		b.resources++
	}
	one := refused{hiddenBy: c.hiddenBy, guessed: c.guessed, change: -1, order: len(b.changes), Rejected: Rejected{
		File: i.file, Line: i.line, Type: c.typeName, ID: c.id, Reason: r.Error(), Kind: r.Kind,
	}}
	if c.named() {
		t, _ := fhir.ParseType(c.typeName)
		one.change = len(b.changes)
		b.changes = append(b.changes, store.Change{Type: t, ID: c.id})
	}
	b.refused = append(b.refused, one)
}

// refuseText refuses each candidate in the text of an item.
func (b *batch) refuseText(i item, r *Refusal) {
	switch {
	case i.candidate != nil:
		b.refuse(i, *i.candidate, r)
	case i.part:
		b.refuse(i, candidate{}, r)
	default:
		b.refuseEach(i, candidate{}, findCandidates(i.text), r)
	}
}

// refuseEach refuses each candidate of a list. If all of them are guesses, it also refuses
// the piece itself, under the name that is known of it.
func (b *batch) refuseEach(i item, piece candidate, list []candidate, r *Refusal) {
	if !slices.ContainsFunc(list, func(c candidate) bool { return !c.guessed }) {
		b.refuse(i, piece, r)
	}
	for _, one := range list {
		b.refuse(i, one, r)
	}
}

// refuseValue refuses a parsed value: the resource itself or, if its name cannot be read,
// each candidate in it. aliases are other names of the resource; if it has no name of its
// own, it is refused under the last one of its type. hiddenBy are flags by which the text
// around it says that it is hidden.
func (b *batch) refuseValue(i item, v *fastjson.Value, aliases []candidate, hiddenBy index.Visibility, r *Refusal) {
	resource := candidateOf(v)
	resource.hiddenBy |= hiddenBy
	list := []candidate{resource}
	unnamed := !resource.named()
	if unnamed {
		list = findCandidates(v.MarshalTo(nil))
		for n := range list {
			list[n].hiddenBy |= hiddenBy
		}
	}
	for n := range aliases {
		alias := aliases[len(aliases)-1-n]
		if alias.typeName == resource.typeName && alias.id == resource.id {
			continue
		}
		alias.hiddenBy = resource.hiddenBy
		if unnamed && alias.typeName == resource.typeName {
			unnamed, alias.guessed = false, false
		}
		list = append(list, alias)
	}
	b.refuseEach(i, resource, list, r)
}

// around is what surrounds a resource in its item.
type around struct {
	path     string      // of the resource in the item
	aliases  []candidate // other names of the resource, used if it is refused
	urls     *fullURLs   // of its Bundle
	warnings []warning   // about its entry
}

// plain is around a resource that is not an entry.
var plain around

// prepareResource prepares one resource.
func (b *batch) prepareResource(ctx context.Context, p *preparer, i item, v *fastjson.Value, in around) {
	ready, r := p.prepare(ctx, v, in.urls)
	if ctx.Err() != nil {
		return
	}
	if r != nil {
		if in.path != "" {
			r = r.within(in.path)
		}
		b.refuseValue(i, v, in.aliases, 0, r)
		return
	}
	b.resources++
	b.changes = append(b.changes, ready.change)
	b.accepted = append(b.accepted, committed{
		file: i.file, line: i.line, t: ready.change.Type, id: ready.change.ID, change: len(b.changes) - 1, served: ready.served,
		warnings: append(in.warnings, ready.warnings...), links: ready.links, outside: ready.outside, hpii: ready.hpii, localIDs: ready.localIDs,
	})
}

// prepareBundle prepares the entries of a Bundle that was parsed as one text.
func (b *batch) prepareBundle(ctx context.Context, p *preparer, i item, v *fastjson.Value) {
	entries := v.Get("entry")
	switch {
	case string(v.GetStringBytes("type")) == "history":
		b.refuseText(i, refuse(BadShape, "%v", errHistory))
	case entries != nil && entries.Type() != fastjson.TypeArray:
		b.refuseText(i, refuse(BadShape, "Bundle.entry is not an array: write one"))
	default:
		b.refuseOutsideEntries(i, v)
		urls := mapEntries(entries.GetArray())
		for n, e := range entries.GetArray() {
			if ctx.Err() != nil {
				return
			}
			b.prepareEntry(ctx, p, i, e, indexed("entry", n), urls)
		}
	}
}

// refuseOutsideEntries refuses the resources of a Bundle that are outside its entries.
func (b *batch) refuseOutsideEntries(i item, v *fastjson.Value) {
	v.GetObject().Visit(func(key []byte, member *fastjson.Value) {
		if string(key) == "entry" || string(key) == "resourceType" {
			return
		}
		for _, one := range findCandidates(member.MarshalTo(nil)) {
			b.refuse(i, one, refuse(BadEntry, "%s", outsideEntries).within(memberName(key)))
		}
	})
}

const outsideEntries = "the resource is outside the entries of the Bundle: write it in an entry"
