package load

import (
	"fmt"

	"muster/internal/fhir"
	"muster/internal/search/index"
	"muster/internal/store"

	"github.com/valyala/fastjson"
)

// The size of a batch: whichever comes first.
const (
	batchItems = 1000
	batchBytes = 4 << 20
)

// item is a piece of an input whose text stands in the batch.
type item struct {
	piece
	from, to int // its text in batch.text
}

// batch is some items in their order, and what became of them.
type batch struct {
	text  []byte
	items []item
	name  string // input it ends in
	read  int64  // bytes read of all inputs when it was full

	prepared  chan struct{} // closed when the fields below are set
	resources int
	changes   []store.Change // those of refusals have type and id alone
	loaded    []loaded       // in the order of changes, without those of refusals
	refused   []refused      // in the order of the source
}

// refused is a refusal on its way.
type refused struct {
	Rejected
	hides  index.Visibility // what the refused resource says of itself
	change int              // its place in batch.changes, or -1 where no resource can be stored under its name
}

func newBatch() *batch { return &batch{prepared: make(chan struct{})} }

// texts are buffers of batches that were prepared, for those that come. Without
// them a quarter of all that a load allocates would be text that grows.
type texts chan []byte

func newTexts() texts { return make(texts, workers) }

// lend gives a batch an empty buffer.
func (t texts) lend(b *batch) {
	select {
	case b.text = <-t:
	default:
	}
}

// take takes the buffer of a batch back, unless a very long line made it large.
func (t texts) take(b *batch) {
	if cap(b.text) <= 2*batchBytes {
		select {
		case t <- b.text[:0]:
		default:
		}
	}
	b.text = nil
}

func (b *batch) full() bool { return len(b.items) >= batchItems || len(b.text) >= batchBytes }

// add takes a copy of a piece.
func (b *batch) add(p piece) {
	i := item{piece: p, from: len(b.text)}
	b.text = append(b.text, p.text...)
	i.to, i.text = len(b.text), nil
	b.items = append(b.items, i)
}

// prepare turns the items into changes and refusals.
func (b *batch) prepare(p *preparer) {
	defer close(b.prepared)
	for _, i := range b.items {
		i.text = b.text[i.from:i.to]
		if i.refusal != nil {
			b.refuseText(i, i.refusal)
			continue
		}
		v, r := p.parse(i.text)
		switch {
		case r != nil:
			b.refuseText(i, r)
		case i.entry:
			b.entryAt(p, i, v, "entry")
		case string(v.GetStringBytes("resourceType")) == "Bundle":
			b.bundle(p, i, v)
		default:
			b.resource(p, i, v, "")
		}
	}
	p.texts.take(b)
}

// refuse refuses one resource, or one piece that holds none that can be named. The
// refusal of a resource that may be stored is a change too: what is stored of it may
// have to be hidden, and is looked at in any case.
func (b *batch) refuse(i item, what sighting, r *Refusal) {
	b.resources++
	one := refused{hides: what.hides, change: -1, Rejected: Rejected{
		File: i.file, Line: i.line, Type: what.typeName, ID: what.id, Reason: r.Error(), Kind: r.Kind,
	}}
	if t, ok := fhir.ParseType(what.typeName); ok && what.id != "" {
		one.change = len(b.changes)
		b.changes = append(b.changes, store.Change{Type: t, ID: what.id})
	}
	b.refused = append(b.refused, one)
}

// refuseText refuses each resource that can be seen in the text of an item.
func (b *batch) refuseText(i item, r *Refusal) {
	list := glimpse(i.text)
	if i.seen != nil {
		list = append(list, *i.seen)
	}
	if len(list) == 0 {
		list = []sighting{{}}
	}
	for _, one := range list {
		b.refuse(i, one, r)
	}
}

// resource prepares one resource; place is where it stands in its item.
func (b *batch) resource(p *preparer, i item, v *fastjson.Value, place string) {
	out, r := p.prepare(v)
	if r != nil {
		if place != "" {
			r = r.within(place)
		}
		b.refuse(i, sightingOf(v), r)
		return
	}
	b.resources++
	b.changes = append(b.changes, out.change)
	b.loaded = append(b.loaded, loaded{i.file, i.line, out.change.Type, out.change.ID, out.warnings, out.links, out.hpii})
}

// bundle prepares the entries of a Bundle that stood on one line.
func (b *batch) bundle(p *preparer, i item, v *fastjson.Value) {
	entries := v.Get("entry")
	switch {
	case string(v.GetStringBytes("type")) == "history":
		b.refuseText(i, refuse(BadShape, "%v", errHistory))
	case entries != nil && entries.Type() != fastjson.TypeArray:
		b.refuseText(i, refuse(BadShape, "Bundle.entry is an array"))
	default:
		for n, e := range entries.GetArray() {
			b.entryAt(p, i, e, fmt.Sprintf("entry[%d]", n))
		}
	}
}

// entryAt prepares a Bundle entry: a resource alone, or a put of it.
func (b *batch) entryAt(p *preparer, i item, e *fastjson.Value, place string) {
	resource := e.Get("resource")
	request := e.Get("request")
	if e.Type() != fastjson.TypeObject || resource == nil || resource.Type() != fastjson.TypeObject {
		var what sighting
		if to, err := fhir.ParseReference(string(request.GetStringBytes("url")), ""); err == nil {
			what.typeName, what.id = to.Type, to.ID
		}
		b.refuse(i, what, refuse(BadEntry, "the entry has no resource; nothing is removed by loading").within(place))
		return
	}
	if request != nil {
		url := string(resource.GetStringBytes("resourceType")) + "/" + string(resource.GetStringBytes("id"))
		if string(request.GetStringBytes("method")) != "PUT" || string(request.GetStringBytes("url")) != url {
			b.refuse(i, sightingOf(resource), refuse(BadEntry, "only a PUT of the resource to its own Type/id is loaded").within(place+".request"))
			return
		}
	}
	b.resource(p, i, resource, place+".resource")
}
