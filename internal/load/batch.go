package load

import (
	"fmt"
	"slices"
	"strings"

	"muster/internal/fhir"
	"muster/internal/policy"
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
	text      []byte
	items     []item
	name      string // input it ends in
	bytesRead int64  // bytes read of all inputs when it was full

	prepared  chan struct{} // closed when the fields below are set
	resources int
	changes   []store.Change // those of refusals have type and id alone
	accepted  []committed    // in the order of changes, without those of refusals
	refused   []refused      // in the order of the source
}

// refused is a refusal on its way.
type refused struct {
	Rejected
	hiddenBy index.Visibility // what the refused resource says of itself
	guessed  bool             // the name is a guess: it counts only where it is stored
	change   int              // its place in batch.changes, or -1 where no resource can be stored under its name
}

func newBatch() *batch { return &batch{prepared: make(chan struct{})} }

// bufferPool are buffers of batches that were prepared, for those that come. Without
// them a quarter of all that a load allocates would be text that grows.
type bufferPool chan []byte

func newBufferPool() bufferPool { return make(bufferPool, workers) }

// lend gives a batch an empty buffer.
func (t bufferPool) get(b *batch) {
	select {
	case b.text = <-t:
	default:
	}
}

// take takes the buffer of a batch back, unless a very long line made it large.
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
			b.prepareEntry(p, i, v, "entry")
		case string(v.GetStringBytes("resourceType")) == "Bundle":
			b.prepareBundle(p, i, v)
		default:
			b.prepareResource(p, i, v, "", nil)
		}
	}
	p.buffers.put(b)
}

// refuse refuses one resource, or one piece that holds none that can be named. The
// refusal of a resource that may be stored is a change too: what is stored of it may
// have to be hidden, and is looked at in any case.
func (b *batch) refuse(i item, what candidate, r *Refusal) {
	if !what.guessed {
		b.resources++
	}
	one := refused{hiddenBy: what.hiddenBy, guessed: what.guessed, change: -1, Rejected: Rejected{
		File: i.file, Line: i.line, Type: what.typeName, ID: what.id, Reason: r.Error(), Kind: r.Kind,
	}}
	if what.named() {
		t, _ := fhir.ParseType(what.typeName)
		one.change = len(b.changes)
		b.changes = append(b.changes, store.Change{Type: t, ID: what.id})
	}
	b.refused = append(b.refused, one)
}

// refuseText refuses each resource that can be seen in the text of an item.
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

// refuseEach refuses each resource of a list. Where it has none for certain, the piece
// itself is refused, under what is known of its name.
func (b *batch) refuseEach(i item, piece candidate, list []candidate, r *Refusal) {
	if !slices.ContainsFunc(list, func(s candidate) bool { return !s.guessed }) {
		b.refuse(i, piece, r)
	}
	for _, one := range list {
		b.refuse(i, one, r)
	}
}

// refuseValue refuses a value that could be read: the resource that it is, or each
// resource that can be seen in it. also are other names that it goes by.
func (b *batch) refuseValue(i item, v *fastjson.Value, also []candidate, r *Refusal) {
	what := candidateOf(v)
	list := []candidate{what}
	if !what.named() {
		list = findCandidates(v.MarshalTo(nil))
	}
	for _, s := range also {
		if s.typeName != what.typeName || s.id != what.id {
			s.hiddenBy = what.hiddenBy
			list = append(list, s)
		}
	}
	b.refuseEach(i, what, list, r)
}

// resource prepares one resource; place is where it stands in its item, and also are other
// names that it goes by if it is refused.
func (b *batch) prepareResource(p *preparer, i item, v *fastjson.Value, place string, also []candidate) {
	out, r := p.prepare(v)
	if r != nil {
		if place != "" {
			r = r.within(place)
		}
		b.refuseValue(i, v, also, r)
		return
	}
	b.resources++
	b.changes = append(b.changes, out.change)
	b.accepted = append(b.accepted, committed{i.file, i.line, out.change.Type, out.change.ID, out.warnings, out.links, out.hpii})
}

// bundle prepares the entries of a Bundle that stood on one line.
func (b *batch) prepareBundle(p *preparer, i item, v *fastjson.Value) {
	entries := v.Get("entry")
	switch {
	case string(v.GetStringBytes("type")) == "history":
		b.refuseText(i, refuse(BadShape, "%v", errHistory))
	case entries != nil && entries.Type() != fastjson.TypeArray:
		b.refuseText(i, refuse(BadShape, "Bundle.entry is an array"))
	default:
		b.refuseOutsideEntries(i, v)
		for n, e := range entries.GetArray() {
			b.prepareEntry(p, i, e, fmt.Sprintf("entry[%d]", n))
		}
	}
}

// outside refuses the resources that stand in a Bundle, but in none of its entries.
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

const outsideEntries = "a resource that stands in no entry of the Bundle is not loaded"

// entryAt prepares a Bundle entry: a resource alone, or a put of it.
func (b *batch) prepareEntry(p *preparer, i item, e *fastjson.Value, place string) {
	resource := e.Get("resource")
	request := e.Get("request")
	also := entryNames(e)
	if e.Type() != fastjson.TypeObject || resource == nil || resource.Type() != fastjson.TypeObject {
		r := refuse(BadEntry, "the entry has no resource; nothing is removed by loading").within(place)
		b.refuseEach(i, candidate{}, append(findCandidates(e.MarshalTo(nil)), also...), r)
		return
	}
	if request != nil {
		url := string(resource.GetStringBytes("resourceType")) + "/" + string(resource.GetStringBytes("id"))
		if string(request.GetStringBytes("method")) != "PUT" || string(request.GetStringBytes("url")) != url {
			b.refuseValue(i, resource, also, refuse(BadEntry, "only a PUT of the resource to its own Type/id is loaded").within(place+".request"))
			return
		}
	}
	if suppressedOutsideResource(e) {
		what := candidateOf(resource)
		what.hiddenBy |= index.Suppressed
		b.refuseEach(i, what, []candidate{what}, refuse(BadEntry, "the suppressed extension stands in the entry: write it in the resource").within(place))
		return
	}
	b.prepareResource(p, i, resource, place+".resource", also)
}

// suppressedOutsideResource reports whether an entry has the suppressed extension outside of its
// resource.
func suppressedOutsideResource(e *fastjson.Value) (found bool) {
	e.GetObject().Visit(func(key []byte, member *fastjson.Value) {
		found = found || string(key) != "resource" && policy.SaysHidden(member)&index.Suppressed != 0
	})
	return found
}

// entryNames returns the names that an entry gives its resource: in fullUrl and in the url of
// its request, at the end of whatever address.
func entryNames(e *fastjson.Value) (names []candidate) {
	for _, url := range [][]byte{e.GetStringBytes("fullUrl"), e.GetStringBytes("request", "url")} {
		steps := strings.Split(string(url), "/")
		if len(steps) < 2 {
			continue
		}
		s := candidate{typeName: steps[len(steps)-2], id: steps[len(steps)-1], guessed: true}
		if s.named() && fhir.ValidID(s.id) && !slices.Contains(names, s) {
			names = append(names, s)
		}
	}
	return names
}
