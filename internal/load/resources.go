package load

import (
	"bytes"
	"context"

	"github.com/valyala/fastjson"
)

// Resources reads inputs as a load does, and calls each for every resource. Entries of Bundles
// have the ids and the references that a load gives them; otherwise resources are neither
// checked nor changed. The text is valid during the call only. An error of each or of ctx, or
// an input that cannot be read to its end, ends the reading.
//
// Resources returns the number of pieces that are not resources, such as damaged lines, and
// entries that a load refuses because of what is around their resource.
func Resources(ctx context.Context, inputs []Input, each func(text []byte) error) (unreadable int64, err error) {
	r := &resourceReader{preparer: preparer{validator: newValidator()}, each: each}
	reader := &inputReader{emit: r.read}
	for _, in := range inputs {
		if err := reader.readInput(ctx, in); err != nil {
			return r.unreadable, err
		}
	}
	return r.unreadable, nil
}

// resourceReader finds the resources in the pieces of inputs.
type resourceReader struct {
	preparer
	each       func([]byte) error
	unreadable int64
}

// read reads one piece.
func (r *resourceReader) read(p piece) error {
	if p.refusal != nil {
		r.unreadable++
		return nil
	}
	if !p.entry && !bytes.Contains(p.text, []byte("Bundle")) {
		return r.each(p.text)
	}
	v, refused := r.parse(p.text)
	switch {
	case refused != nil:
		r.unreadable++
		return nil
	case p.entry:
		return r.readEntry(v, p.urls)
	case string(v.GetStringBytes("resourceType")) == "Bundle":
		return r.readBundle(v)
	}
	return r.each(p.text)
}

// readBundle reads the entries of a Bundle.
func (r *resourceReader) readBundle(v *fastjson.Value) error {
	entries := v.GetArray("entry")
	if string(v.GetStringBytes("type")) == "history" || v.Exists("entry") && entries == nil {
		r.unreadable++
		return nil
	}
	urls := mapEntries(entries)
	for _, e := range entries {
		if err := r.readEntry(e, urls); err != nil {
			return err
		}
	}
	return nil
}

// readEntry reads one entry of a Bundle with the fullUrls urls.
func (r *resourceReader) readEntry(e *fastjson.Value, urls *fullURLs) error {
	resource := e.Get("resource")
	if resource == nil || resource.Type() != fastjson.TypeObject {
		r.unreadable++
		return nil
	}
	r.giveID(e)
	if checkEntry(nil, e, urls) != nil {
		r.unreadable++
		return nil
	}
	// A reference that a load refuses stays as it is.
	_, _ = r.resolver.resolve(&r.arena, resource, urls)
	return r.each(resource.MarshalTo(nil))
}
