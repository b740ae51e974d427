package searchset

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	"muster/internal/fhir"
	"muster/internal/policy"
	"muster/internal/requestid"
	"muster/internal/search"
	"muster/internal/share"
	"muster/internal/store"
)

// pageRequest selects a page of a result set and its format.
type pageRequest struct {
	self   string // URL of the page itself
	offset int    // of the first match in the result set
	count  int    // matches per page
	pretty bool

	sizes map[store.RowKey]int64 // of the matches, if the search has just found them
}

// writePage writes one page of a result set.
func (s *Service) writePage(ctx context.Context, results resultSet, p pageRequest) (Answer, error) {
	b := &bundle{results: results, base: s.BaseURL, requestID: requestid.From(ctx)}
	b.add(`{"resourceType":"Bundle","type":"searchset"`)
	if results.total >= 0 {
		b.add(`,"total":` + strconv.FormatInt(results.total, 10))
	}
	if err := s.writeLinks(ctx, b, p); err != nil {
		return Answer{}, err
	}
	if err := s.writeEntries(ctx, b, p); err != nil {
		return Answer{}, err
	}
	if b.entries > 0 {
		b.add("]") // a Bundle without entries has no member entry (SR-08)
	}
	b.add("}")
	body := b.text
	if p.pretty {
		body = pretty(body)
	}
	return Answer{Body: body, Resources: b.resources}, nil
}

// writeLinks writes the links self, next and previous (SR-07, PG-01). The page with the
// last match that paging can reach has no link next (PG-04).
func (s *Service) writeLinks(ctx context.Context, b *bundle, p pageRequest) error {
	next, previous := p.offset+p.count, max(0, p.offset-p.count)
	b.add(`,"link":[`)
	b.link("self", p.self)
	if next >= len(b.results.keys) && p.offset == 0 {
		b.add(`]`)
		return nil
	}
	token, err := s.newToken(ctx, b.results)
	if err != nil {
		return err
	}
	if next < len(b.results.keys) {
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

// writeEntries writes the matches, the included resources and the warnings.
func (s *Service) writeEntries(ctx context.Context, b *bundle, p pageRequest) error {
	keys := b.results.keys[min(p.offset, len(b.results.keys)):min(p.offset+p.count, len(b.results.keys))]
	keys, err := s.currentKeys(ctx, b.results.resourceType, keys)
	if err != nil {
		return err
	}
	size, err := s.sizeOf(ctx, keys, p.sizes)
	if err != nil {
		return err
	}
	if err := b.reserve(ctx, len(keys), size, p.pretty); err != nil {
		return err
	}
	var matches []store.Row
	err = s.Store.Bodies(ctx, keys, func(row store.Row, line []byte) error {
		if !b.results.visible.Shows(row.Visibility) {
			return nil
		}
		matches = append(matches, row)
		return b.resource(row, line, "match", b.results.representation())
	})
	if err != nil {
		return err
	}
	if err := s.writeIncludes(ctx, b, matches, p.pretty); err != nil {
		return err
	}
	if b.results.hasMore {
		b.outcome(fhir.CodeTooCostly, fmt.Sprintf("The search has more than %d matches, and paging stops there: narrow the search, or use $export.", MaxMatches))
	}
	return nil
}

// writeIncludes writes the resources that the matches of the page include. _elements
// names elements of the searched type, so it does not apply to included resources;
// _summary does.
func (s *Service) writeIncludes(ctx context.Context, b *bundle, matches []store.Row, pretty bool) error {
	if len(b.results.includes) == 0 {
		return nil
	}
	included, err := s.include(ctx, matches, b.results.includes)
	if err != nil {
		return err
	}
	keys := make([]store.RowKey, len(included.rows))
	for n, row := range included.rows {
		keys[n] = row.Key
	}
	if err := b.reserve(ctx, len(keys), included.bytes, pretty); err != nil {
		return err
	}
	err = s.Store.Bodies(ctx, keys, func(row store.Row, line []byte) error {
		if !policy.Readable(row.Visibility) {
			return nil
		}
		return b.resource(row, line, "include", search.Representation{Summary: b.results.summary})
	})
	if err != nil {
		return err
	}
	if included.truncated {
		b.outcome(fhir.CodeTooCostly, fmt.Sprintf("The includes of this page are incomplete: a page includes at most %d resources, reached in at most %d steps. Search for the others separately.", MaxIncluded, MaxSteps))
	}
	return nil
}

// bundle is a Bundle under construction.
type bundle struct {
	results   resultSet
	base      string
	requestID string
	text      []byte
	reserved  int64 // bytes for the text
	entries   int
	resources int
}

func (b *bundle) add(text string) { b.text = append(b.text, text...) }

// entryBytes are the bytes of an entry besides its resource, and of a tag in it.
const entryBytes = 512

// prettyFactor is how many times the bytes of a body are needed to indent it: they themselves, and
// the indented body, which is about twice as long.
const prettyFactor = 3

// reserve reserves the memory for entries whose resources have a size in all. The text does not
// grow beyond it.
func (b *bundle) reserve(ctx context.Context, entries int, size int64, pretty bool) error {
	size += int64(len(b.text) + (entries+1)*entryBytes)
	more := size - b.reserved
	b.reserved = size
	if pretty {
		more *= prettyFactor
	}
	if err := share.Reserve(ctx, more); err != nil {
		return err
	}
	b.text = append(make([]byte, 0, size), b.text...)
	return nil
}

// sizeOf returns the bytes of all keys. known has the sizes if they have been read.
func (s *Service) sizeOf(ctx context.Context, keys []store.RowKey, known map[store.RowKey]int64) (size int64, err error) {
	if known == nil {
		rows, err := s.Store.Rows(ctx, keys)
		if err != nil {
			return 0, err
		}
		known = sizesOf(rows)
	}
	for _, key := range keys {
		size += known[key]
	}
	return size, nil
}

// sizesOf returns the bytes of rows by their keys.
func sizesOf(rows []store.Row) map[store.RowKey]int64 {
	sizes := make(map[store.RowKey]int64, len(rows))
	for _, row := range rows {
		sizes[row.Key] = row.Size
	}
	return sizes
}

func (b *bundle) link(relation, url string) {
	b.add(`{"relation":"` + relation + `","url":"`)
	b.add(url) // percent-encoded, so it contains no character that JSON escapes
	b.add(`"}`)
}

// beginEntry begins an entry.
func (b *bundle) beginEntry() {
	if b.entries == 0 {
		b.add(`,"entry":[{`)
	} else {
		b.add(`,{`)
	}
	b.entries++
}

// resource appends an entry with a resource.
func (b *bundle) resource(row store.Row, line []byte, mode string, form search.Representation) error {
	b.beginEntry()
	b.resources++
	b.add(`"fullUrl":"` + b.base + "/" + row.Key.Type().String() + "/" + row.ID + `","resource":`)
	var err error
	if b.text, err = represent(b.text, row.Key.Type(), line, form); err != nil {
		return err
	}
	b.add(`,"search":{"mode":"` + mode + `"}}`)
	return nil
}

// outcome appends an entry with a warning for the client (A-42, ER-01).
func (b *bundle) outcome(code fhir.Code, text string) {
	b.beginEntry()
	b.add(`"resource":`)
	b.text = append(b.text, fhir.OutcomeJSON(b.requestID, fhir.OutcomeIssue{Severity: "warning", Code: code, Diagnostics: text})...)
	b.add(`,"search":{"mode":"outcome"}}`)
}

// pretty indents JSON.
func pretty(body []byte) []byte {
	var out bytes.Buffer
	if json.Indent(&out, body, "", "  ") != nil {
		return body
	}
	return out.Bytes()
}
