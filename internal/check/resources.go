package check

import (
	"bytes"
	"context"
	"fmt"
	"strconv"

	"muster/internal/fhir"
	"muster/internal/policy"
	"muster/internal/search/index"
	"muster/internal/store"

	"github.com/valyala/fastjson"
)

// excerptRows is how many resources one excerpt holds: some megabytes of bodies.
const excerptRows = 1000

// checkResources goes through the row keys of every type, those without a row too.
func (k *checker) checkResources(ctx context.Context) error {
	c := recordChecker{checker: k, names: map[int]string{}}
	for _, t := range k.Registry.Types() {
		for _, p := range k.Registry.Params(t) {
			c.names[p.ID] = t.String() + "?" + p.Code
		}
	}
	for _, t := range fhir.Types() {
		first, last := store.KeyRange(t)
		for first <= last {
			excerpt, err := k.Store.Excerpt(ctx, first, last, excerptRows)
			if err != nil {
				return err
			}
			for n := range excerpt.Records {
				c.specimen(&excerpt, &excerpt.Records[n])
			}
			k.progress(int64(len(excerpt.Records)))
			first = excerpt.Through + 1
		}
	}
	return nil
}

// recordChecker keeps buffers from specimen to specimen.
type recordChecker struct {
	*checker
	names   map[int]string // of parameters
	parser  fastjson.Parser
	entries []index.Entry
}

// specimen looks at what stands under one row key.
func (c *recordChecker) specimen(e *store.Excerpt, s *store.StoredRecord) {
	c.Entries += int64(len(s.Entries))
	place := fmt.Sprintf("%v with row key %d", s.Key.Type(), s.Key)
	if s.Row == nil {
		if s.Body != nil {
			c.finding("body-stray", place, "a body without a row: it is in no search and no export, and takes room", remedyRestore)
		}
		if n := int64(len(s.Entries)); n > 0 {
			c.finding("index-stray", place, plural(n, "index entry", "index entries")+" without a row: searches find what is not there", remedyRestore)
		}
		return
	}
	c.Resources++
	place = fmt.Sprintf("%v/%s", s.Row.Type, s.Row.ID)
	c.row(e, s, place)
	if s.Body == nil {
		c.finding("body-missing", place, "the row has no body: it can neither be read nor exported", remedyReload)
		return
	}
	c.body(s, place)
}

// row looks at the narrow row alone.
func (c *recordChecker) row(e *store.Excerpt, s *store.StoredRecord, place string) {
	r := s.Row
	if r.Type != s.Key.Type() {
		c.finding("row-key", place, fmt.Sprintf("its row key %d is one of %v", s.Key, s.Key.Type()), remedyRestore)
	}
	if sequence := int64(s.Key - store.Key(s.Key.Type(), 0)); sequence > e.Sequence {
		c.finding("sequence", place, fmt.Sprintf("its sequence number %d is after the last one given out, %d: a new resource would get its row key", sequence, e.Sequence), remedyRestore)
	}
	if r.Committed > e.Clock {
		c.finding("clock", place, fmt.Sprintf("it was committed at %v, after the clock of the directory, %v: an export could miss it", r.Committed, e.Clock), remedyRestore)
	}
	if r.Version < 1 {
		c.finding("version", place, fmt.Sprintf("its version is %d, and the first is 1", r.Version), remedyReload)
	}
	if r.Visibility != r.Own|r.Inherited {
		c.finding("visibility", place, fmt.Sprintf("its state %d is not its own (%d) and the inherited (%d) together", r.Visibility, r.Own, r.Inherited), remedyReload)
	}
}

// body holds the body against the row and the index entries.
func (c *recordChecker) body(s *store.StoredRecord, place string) {
	r := s.Row
	if want := int64(len(s.Body)) + 1; r.Size != want {
		c.finding("size", place, fmt.Sprintf("its row says %d bytes, and its line has %d: an export that selects it would fail", r.Size, want), remedyReload)
	}
	if bytes.IndexByte(s.Body, '\n') >= 0 {
		c.finding("body", place, "its body is not one line, so NDJSON files would break", remedyReload)
	}
	v, err := c.parser.ParseBytes(s.Body)
	if err != nil || v.Type() != fastjson.TypeObject {
		c.finding("body", place, "its body is no JSON object", remedyReload)
		return
	}
	for _, member := range []struct{ path, want, got string }{
		{"resourceType", r.Type.String(), string(v.GetStringBytes("resourceType"))},
		{"id", r.ID, string(v.GetStringBytes("id"))},
		{"meta.versionId", strconv.FormatInt(r.Version, 10), string(v.GetStringBytes("meta", "versionId"))},
		{"meta.lastUpdated", r.LastUpdated.String(), string(v.GetStringBytes("meta", "lastUpdated"))},
	} {
		if member.got != member.want {
			c.finding("body", place, fmt.Sprintf("the %s of its body is %q, its row says %q", member.path, member.got, member.want), remedyReload)
		}
	}
	if own := policy.OwnState(r.Type, v); own != r.Own {
		c.finding("visibility", place, fmt.Sprintf("its own state is %d by its body, and its row says %d", own, r.Own), remedyReload)
	}
	c.entriesOf(s, v, place)
	if policy.Strip(r.Type, v).Any() { // it changes v, so it comes last
		c.finding("not-held", place, "its body holds what a directory may not hold, such as a prescriber number or gender identity", remedyReindex)
	}
}

// entriesOf compares the index entries with those that the body gives.
func (c *recordChecker) entriesOf(s *store.StoredRecord, v *fastjson.Value, place string) {
	c.entries = c.Extractor.Extract(c.entries[:0], s.Row.Type, v)
	stored := make(map[index.Entry]bool, len(s.Entries))
	for _, e := range s.Entries {
		stored[e] = true
	}
	for _, e := range c.entries {
		if !stored[e] && c.Store.StoresKind(e.Kind) {
			c.finding("index-missing", place, "it should be found by "+c.describe(e)+", and is not",
				"load the data into a new directory; if this is a reference by an absolute URL, with the --base-url it is served at")
		}
		delete(stored, e)
	}
	for _, e := range s.Entries { // in their order, not that of the map
		if stored[e] {
			c.finding("index-stray", place, "it is found by "+c.describe(e)+", which its body does not say", remedyReload)
		}
	}
}

// describe writes an entry as a search that finds it, as nearly as it goes.
func (c *recordChecker) describe(e index.Entry) string {
	name := c.names[e.Param]
	if name == "" {
		name = fmt.Sprintf("the unknown parameter %d", e.Param)
	}
	switch e.Kind {
	case index.Token:
		return fmt.Sprintf("%s=%s|%s", name, e.System, e.Code)
	case index.Reference:
		return fmt.Sprintf("%s=%s/%s", name, e.System, e.Code)
	case index.String:
		return fmt.Sprintf("%s=%s (%s)", name, e.Exact, e.Norm)
	case index.Date:
		return fmt.Sprintf("%s from %v to %v", name, e.Period.From, e.Period.To)
	case index.Number:
		return fmt.Sprintf("%s=%d", name, e.Number)
	case index.Location:
		return fmt.Sprintf("%s=%v|%v", name, e.Position.Latitude, e.Position.Longitude)
	default:
		return fmt.Sprintf("%s=%s", name, e.Code)
	}
}
