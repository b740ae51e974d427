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

// excerptRows is the number of resources in one excerpt: a few megabytes of bodies.
const excerptRows = 1000

// checkResources checks all row keys of every type, including those without a row.
func (k *checker) checkResources(ctx context.Context) error {
	c := recordChecker{checker: k, names: map[int]string{}, references: newReferences(k.Extractor.Bases())}
	for _, t := range k.Registry.Types() {
		for _, p := range k.Registry.Params(t) {
			name := t.String() + "?" + p.Code
			c.names[p.ID] = name
			if p.Parts != 0 {
				c.names[p.Parts] = name
			}
		}
	}
	for _, t := range fhir.Types() {
		first, last := store.KeyRange(t)
		for first <= last {
			excerpt, err := k.Store.Excerpt(ctx, first, last, excerptRows)
			if err != nil {
				return err
			}
			c.intact = c.intact[:0]
			for n := range excerpt.Records {
				c.record(&excerpt, &excerpt.Records[n])
			}
			if err := c.inheritance(ctx); err != nil {
				return err
			}
			k.advance(int64(len(excerpt.Records)))
			first = excerpt.Through + 1
		}
		c.references.finish(t)
	}
	if c.uncovered > 0 {
		k.note("not-covered", "resources", plural(c.uncovered, "resource", "resources")+" that an older muster has stored without a checksum", "run muster reindex")
	}
	return k.checkReferences(ctx, c.references)
}

// recordChecker checks records; it reuses its buffers.
type recordChecker struct {
	*checker
	references *references
	uncovered  int64          // resources without a checksum
	damaged    bool           // the version of the present record
	intact     []store.RowKey // of the excerpt, whose inherited states are computed again

	names   map[int]string // names of parameters by id
	parser  fastjson.Parser
	entries []index.Entry

	ownParser fastjson.Parser
}

// record checks everything that is stored under one row key.
func (c *recordChecker) record(e *store.Excerpt, s *store.StoredRecord) {
	c.Entries += int64(len(s.Entries))
	place := fmt.Sprintf("%v with row key %d", s.Key.Type(), s.Key)
	if s.Row == nil {
		if s.Body != nil {
			c.finding("body-stray", place, "a body without a row: no search and no export finds it, and it takes up space", remedyRestore)
		}
		if n := int64(len(s.Entries)); n > 0 {
			c.finding("index-stray", place, plural(n, "index entry", "index entries")+" without a row: searches find a resource that does not exist", remedyRestore)
		}
		return
	}
	c.Resources++
	c.references.addResource(s.Key, s.Row.ID)
	place = fmt.Sprintf("%v/%s", s.Row.Type, s.Row.ID)
	c.row(e, s, place)
	if s.Body == nil {
		c.finding("body-missing", place, "the row has no body: it cannot be read or exported", remedyReload)
		return
	}
	c.damaged = s.Row.Verify(s.Body, s.Row.Checksum) != nil
	if s.Row.Checksum.Present {
		if c.damaged {
			c.finding("checksum", place, "its row and its body do not match its checksum: one of them was changed after it was written, and reads and exports of it fail", remedyReload)
		}
	} else {
		c.uncovered++
	}
	c.body(s, place)
}

// row checks the narrow row alone.
func (c *recordChecker) row(e *store.Excerpt, s *store.StoredRecord, place string) {
	r := s.Row
	if r.Type != s.Key.Type() {
		c.finding("row-key", place, fmt.Sprintf("its row key %d belongs to type %v", s.Key, s.Key.Type()), remedyRestore)
	}
	if sequence := int64(s.Key - store.Key(s.Key.Type(), 0)); sequence > e.Sequence {
		c.finding("sequence", place, fmt.Sprintf("its sequence number %d exceeds the last issued one, %d: a new resource would get the same row key", sequence, e.Sequence), remedyRestore)
	}
	if r.Committed > e.Clock {
		c.finding("clock", place, fmt.Sprintf("it was committed at %v, after the clock of the directory, %v: an export could miss it", r.Committed, e.Clock), remedyRestore)
	}
	if r.Version < 1 {
		c.finding("version", place, fmt.Sprintf("its version is %d, but versions start at 1", r.Version), remedyReload)
	}
	if r.Visibility&index.Hidden != (r.Own|r.Inherited)&index.Hidden {
		c.finding("visibility", place, fmt.Sprintf("its state %d is not the union of its own state (%d) and the inherited one (%d)", r.Visibility, r.Own, r.Inherited), remedyReload)
	}
}

// body compares the body with the row and the index entries.
func (c *recordChecker) body(s *store.StoredRecord, place string) {
	r := s.Row
	if want := int64(len(s.Body)) + 1; r.Size != want {
		c.finding("size", place, fmt.Sprintf("its row says %d bytes, but its line has %d: an export that selects it would fail", r.Size, want), remedyReload)
	}
	if bytes.IndexByte(s.Body, '\n') >= 0 {
		c.finding("body", place, "its body is not one line, so NDJSON files would be invalid", remedyReload)
	}
	v, err := c.parser.ParseBytes(s.Body)
	if err != nil || v.Type() != fastjson.TypeObject {
		c.finding("body", place, "its body is not a JSON object", remedyReload)
		return
	}
	for _, member := range []struct{ path, want, got string }{
		{"resourceType", r.Type.String(), string(v.GetStringBytes("resourceType"))},
		{"id", r.ID, string(v.GetStringBytes("id"))},
		{"meta.versionId", strconv.FormatInt(r.Version, 10), string(v.GetStringBytes("meta", "versionId"))},
		{"meta.lastUpdated", r.LastUpdated.String(), string(v.GetStringBytes("meta", "lastUpdated"))},
	} {
		if member.got != member.want {
			c.finding("body", place, fmt.Sprintf("the %s of its body is %q, but its row says %q", member.path, member.got, member.want), remedyReload)
		}
	}
	c.entriesOf(s, v, place)
	c.own(s, policy.OwnState(r.Type, v), place)
	c.references.addReferences(r.Type, r.ID, v)
	if policy.Strip(r.Type, v).Any() { // Strip changes v, so it comes last
		c.finding("not-held", place, "its body holds content that a directory may not hold, such as a prescriber number or gender identity", remedyReindex)
	}
}

// own compares the own state with the own document, and the body with what the resource inherits.
// shown is the state that the body shows.
func (c *recordChecker) own(s *store.StoredRecord, shown index.Visibility, place string) {
	r := s.Row
	if s.Own == nil {
		if r.Inherited != 0 {
			c.finding("own-missing", place, "it inherits a state, but its own text is missing: the state could not be lifted", remedyReload)
		} else if shown != r.Own {
			c.finding("visibility", place, fmt.Sprintf("its own state is %d according to its body, but its row says %d", shown, r.Own), remedyReload)
		} else if !c.damaged {
			c.intact = append(c.intact, s.Key)
		}
		return
	}
	document := store.Document{Head: store.Head(r.Type, r.ID), Tail: s.Own.Tail}
	v, err := c.ownParser.ParseBytes(document.Line(r.Version, r.LastUpdated))
	if err != nil || store.SumOwn(s.Key, s.Own.Tail) != s.Own.Sum {
		c.finding("checksum", place, "its own text does not match its checksum: it was changed after it was written, and what the resource inherits could not be lifted", remedyReload)
		return
	}
	if own := policy.OwnState(r.Type, v); own != r.Own {
		c.finding("visibility", place, fmt.Sprintf("its own state is %d according to its own text, but its row says %d", own, r.Own), remedyReload)
		return
	}
	if c.Inherit == nil {
		return
	}
	want, _, err := c.Inherit.Compose(r.Type, r.ID, document, r.Inherited)
	body, ok := r.Document(s.Body)
	if err != nil || !ok || !bytes.Equal(want.Tail, body.Tail) {
		c.finding("inherited", place, fmt.Sprintf("its body does not show the state that it inherits (%d)", r.Inherited), remedyReindexInherited)
	}
	if !c.damaged {
		c.intact = append(c.intact, s.Key)
	}
}

// inheritance computes the inherited states of the intact resources of the excerpt again.
func (c *recordChecker) inheritance(ctx context.Context) error {
	if c.Inherit == nil || len(c.intact) == 0 {
		return nil
	}
	differences, err := c.Store.Differences(ctx, c.Inherit, c.intact)
	for _, d := range differences {
		c.finding("inherited", fmt.Sprintf("%v/%s", d.Type, d.ID),
			fmt.Sprintf("it has the inherited state %d, but by what it belongs to and what uses it, it should have %d", d.Inherited, d.Want), remedyReindexInherited)
	}
	return err
}

// entriesOf compares the index entries with those that are extracted from the body.
func (c *recordChecker) entriesOf(s *store.StoredRecord, v *fastjson.Value, place string) {
	c.entries = c.Extractor.Extract(c.entries[:0], s.Row.Type, v)
	stored := make(map[index.Entry]bool, len(s.Entries))
	for _, e := range s.Entries {
		stored[e] = true
	}
	for _, e := range c.entries {
		if !stored[e] && c.Store.StoresKind(e.Kind) {
			c.finding("index-missing", place, "it should be found by "+c.describe(e)+", but is not",
				"run muster reindex; if this is a reference by an absolute URL, with the --base-url at which the directory is served")
		}
		delete(stored, e)
	}
	for _, e := range s.Entries { // in stored order, not in map order
		if stored[e] {
			c.finding("index-stray", place, "it is found by "+c.describe(e)+", but its body does not contain this value", remedyReload)
		}
	}
}

// describe formats an entry like a search that finds it.
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
