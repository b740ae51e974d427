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
	"muster/internal/store"
)

// pageRequest selects a page of a result set and its format.
type pageRequest struct {
	self   string // URL of the page itself
	offset int    // of the first match in the result set
	count  int    // matches per page
	pretty bool
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
	body := b.text.Bytes()
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
	if err := s.writeIncludes(ctx, b, matches); err != nil {
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
func (s *Service) writeIncludes(ctx context.Context, b *bundle, matches []store.Row) error {
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
	b.text.Grow(int(included.bytes))
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
	text      bytes.Buffer
	entries   int
	resources int
}

func (b *bundle) add(text string) { b.text.WriteString(text) }

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
	b.text.Grow(len(line) + 256)
	represented, err := represent(b.text.AvailableBuffer(), row.Key.Type(), line, form)
	if err != nil {
		return err
	}
	b.text.Write(represented)
	b.add(`,"search":{"mode":"` + mode + `"}}`)
	return nil
}

// outcome appends an entry with a warning for the client (A-42, ER-01).
func (b *bundle) outcome(code fhir.Code, text string) {
	b.beginEntry()
	b.add(`"resource":`)
	b.text.Write(fhir.OutcomeJSON(b.requestID, fhir.OutcomeIssue{Severity: "warning", Code: code, Diagnostics: text}))
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
