package searchset

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	"muster/internal/fhir"
	"muster/internal/policy"
	"muster/internal/search"
	"muster/internal/store"
)

// page is which piece of a set to write, and how.
type page struct {
	self   string // link of the page itself
	offset int    // of its first match in the set
	count  int    // matches of a full page
	pretty bool
}

// write writes one page of a set.
func (s *Service) write(ctx context.Context, one set, p page) (Answer, error) {
	b := &bundle{set: one, base: s.BaseURL}
	b.add(`{"resourceType":"Bundle","type":"searchset"`)
	if one.total >= 0 {
		b.add(`,"total":` + strconv.FormatInt(one.total, 10))
	}
	if err := s.links(ctx, b, p); err != nil {
		return Answer{}, err
	}
	if err := s.entries(ctx, b, p); err != nil {
		return Answer{}, err
	}
	if b.entries > 0 {
		b.add("]") // a Bundle without entries has no list either (SR-08)
	}
	b.add("}")
	body := b.text.Bytes()
	if p.pretty {
		body = pretty(body)
	}
	return Answer{Body: body, Resources: b.resources}, nil
}

// links writes self, next and previous (SR-07, PG-01). There is no next behind the
// last match that can be paged to (PG-04).
func (s *Service) links(ctx context.Context, b *bundle, p page) error {
	next, previous := p.offset+p.count, max(0, p.offset-p.count)
	b.add(`,"link":[`)
	b.link("self", p.self)
	if next >= len(b.set.keys) && p.offset == 0 {
		b.add(`]`)
		return nil
	}
	token, err := s.token(ctx, b.set)
	if err != nil {
		return err
	}
	if next < len(b.set.keys) {
		b.add(",")
		b.link("next", s.pageURL(token, next, p.count, p.pretty))
	}
	if p.offset > 0 {
		b.add(",")
		b.link("previous", s.pageURL(token, previous, p.count, p.pretty))
	}
	b.add(`]`)
	return nil
}

// entries writes the matches, what they include, and what the client should be told.
func (s *Service) entries(ctx context.Context, b *bundle, p page) error {
	keys := b.set.keys[min(p.offset, len(b.set.keys)):min(p.offset+p.count, len(b.set.keys))]
	keys, err := s.current(ctx, b.set.typ, keys)
	if err != nil {
		return err
	}
	var matches []store.Row
	err = s.Store.Bodies(ctx, keys, func(row store.Row, line []byte) error {
		if !b.set.visible.Shows(row.Visibility) {
			return nil
		}
		matches = append(matches, row)
		return b.resource(row, line, "match", b.set.form())
	})
	if err != nil {
		return err
	}
	if err := s.includes(ctx, b, matches); err != nil {
		return err
	}
	if b.set.more {
		b.outcome(fhir.CodeTooCostly, fmt.Sprintf("There are more matches than the first %d, which are all that can be paged through: narrow the search, or use $export.", MaxMatches))
	}
	return nil
}

// includes writes what the matches of the page include. _elements names elements of
// the type that was searched, so included resources are whole; _summary is for all.
func (s *Service) includes(ctx context.Context, b *bundle, matches []store.Row) error {
	if len(b.set.includes) == 0 {
		return nil
	}
	e, err := s.include(ctx, matches, b.set.includes)
	if err != nil {
		return err
	}
	keys := make([]store.RowKey, len(e.included))
	for n, row := range e.included {
		keys[n] = row.Key
	}
	b.text.Grow(int(e.bytes))
	err = s.Store.Bodies(ctx, keys, func(row store.Row, line []byte) error {
		if !policy.Readable(row.Visibility) {
			return nil
		}
		return b.resource(row, line, "include", search.Representation{Summary: b.set.summary})
	})
	if err != nil {
		return err
	}
	if e.cut {
		b.outcome(fhir.CodeTooCostly, fmt.Sprintf("Not everything that the includes name is here: a page includes up to %d resources, reached in up to %d steps. Search for the others by themselves.", MaxIncluded, MaxSteps))
	}
	return nil
}

// bundle is a Bundle that is being written.
type bundle struct {
	set       set
	base      string
	text      bytes.Buffer
	entries   int
	resources int
}

func (b *bundle) add(text string) { b.text.WriteString(text) }

// quote writes a text as a JSON string.
func (b *bundle) quote(text string) {
	quoted, _ := json.Marshal(text) // a string always becomes JSON
	b.text.Write(quoted)
}

func (b *bundle) link(relation, url string) {
	b.add(`{"relation":"` + relation + `","url":"`)
	b.add(url) // percent-escaped, so there is nothing left that JSON would escape
	b.add(`"}`)
}

// entry opens an entry.
func (b *bundle) entry() {
	if b.entries == 0 {
		b.add(`,"entry":[{`)
	} else {
		b.add(`,{`)
	}
	b.entries++
}

// resource writes an entry with a resource.
func (b *bundle) resource(row store.Row, line []byte, mode string, form search.Representation) error {
	b.entry()
	b.resources++
	b.add(`"fullUrl":"` + b.base + "/" + row.Key.Type().String() + "/" + row.ID + `","resource":`)
	b.text.Grow(len(line) + 256)
	shaped, err := reshape(b.text.AvailableBuffer(), row.Key.Type(), line, form)
	if err != nil {
		return err
	}
	b.text.Write(shaped)
	b.add(`,"search":{"mode":"` + mode + `"}}`)
	return nil
}

// outcome writes an entry that tells the client something.
func (b *bundle) outcome(code fhir.Code, text string) {
	b.entry()
	b.add(`"resource":{"resourceType":"OperationOutcome","issue":[{"severity":"warning","code":"` + string(code) + `","diagnostics":`)
	b.quote(text)
	b.add(`}]},"search":{"mode":"outcome"}}`)
}

// pretty breaks JSON into lines.
func pretty(body []byte) []byte {
	var out bytes.Buffer
	if json.Indent(&out, body, "", "  ") != nil {
		return body
	}
	return out.Bytes()
}
