package load

import (
	"fmt"

	"muster/internal/store"

	"github.com/valyala/fastjson"
)

// The size of a batch: whichever comes first.
const (
	batchItems = 1000
	batchBytes = 4 << 20
)

// batch is some items in their order, and what became of them.
type batch struct {
	text  []byte
	items []item
	name  string // input it ends in
	read  int64  // bytes read of all inputs when it was full

	prepared  chan struct{} // closed when the fields below are set
	resources int
	changes   []store.Change
	loaded    []loaded // in the order of changes
	refused   []Rejected
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

// add takes a copy of an item.
func (b *batch) add(file string, line int, text []byte, entry bool, refusal *Refusal) {
	from := len(b.text)
	b.text = append(b.text, text...)
	b.items = append(b.items, item{file: file, line: line, from: from, to: len(b.text), entry: entry, refusal: refusal})
}

// prepare turns the items into changes and refusals.
func (b *batch) prepare(p *preparer) {
	defer close(b.prepared)
	for _, i := range b.items {
		text := b.text[i.from:i.to]
		if i.refusal != nil {
			b.refuse(i, parsed{}, i.refusal)
			continue
		}
		v, r := p.parse(text)
		switch {
		case r != nil:
			b.refuse(i, parsed{}, r)
		case i.entry:
			b.entry(p, i, v)
		case string(v.GetStringBytes("resourceType")) == "Bundle":
			b.bundle(p, i, v)
		default:
			b.resource(p, i, v, "")
		}
	}
	p.texts.take(b)
}

func (b *batch) refuse(i item, what parsed, r *Refusal) {
	b.resources++
	b.refused = append(b.refused, Rejected{File: i.file, Line: i.line, Type: what.typeName, ID: what.id, Reason: r.Error(), Kind: r.Kind})
}

// resource prepares one resource; place is where it stands in its item.
func (b *batch) resource(p *preparer, i item, v *fastjson.Value, place string) {
	out, r := p.prepare(v)
	if r != nil {
		if place != "" {
			r = r.within(place)
		}
		b.refuse(i, out, r)
		return
	}
	b.resources++
	b.changes = append(b.changes, out.change)
	b.loaded = append(b.loaded, loaded{i.file, i.line, out.change.Type, out.id, out.warnings, out.links, out.hpii})
}

// bundle prepares the entries of a Bundle that stood on one line.
func (b *batch) bundle(p *preparer, i item, v *fastjson.Value) {
	entries := v.Get("entry")
	switch {
	case string(v.GetStringBytes("type")) == "history":
		b.refuse(i, parsed{typeName: "Bundle"}, refuse(BadShape, "%v", errHistory))
	case entries != nil && entries.Type() != fastjson.TypeArray:
		b.refuse(i, parsed{typeName: "Bundle"}, refuse(BadShape, "Bundle.entry is an array"))
	default:
		for n, e := range entries.GetArray() {
			b.entryAt(p, i, e, fmt.Sprintf("entry[%d]", n))
		}
	}
}

func (b *batch) entry(p *preparer, i item, v *fastjson.Value) { b.entryAt(p, i, v, "entry") }

// entryAt prepares a Bundle entry: a resource alone, or a put of it.
func (b *batch) entryAt(p *preparer, i item, e *fastjson.Value, place string) {
	resource := e.Get("resource")
	if e.Type() != fastjson.TypeObject || resource == nil || resource.Type() != fastjson.TypeObject {
		b.refuse(i, parsed{}, refuse(BadEntry, "the entry has no resource; nothing is removed by loading").within(place))
		return
	}
	if request := e.Get("request"); request != nil {
		url := string(resource.GetStringBytes("resourceType")) + "/" + string(resource.GetStringBytes("id"))
		if string(request.GetStringBytes("method")) != "PUT" || string(request.GetStringBytes("url")) != url {
			what := parsed{typeName: typeNameOf(resource)}
			b.refuse(i, what, refuse(BadEntry, "only a PUT of the resource to its own Type/id is loaded").within(place+".request"))
			return
		}
	}
	b.resource(p, i, resource, place+".resource")
}
