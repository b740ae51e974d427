package load

import (
	"context"
	"sync"

	"muster/internal/fhir"
	"muster/internal/policy"
	"muster/internal/search/index"
	"muster/internal/store"
	"muster/internal/strictjson"

	"github.com/valyala/fastjson"
)

// preparer turns the text of one resource into a change. It reuses its buffers, so it serves
// one goroutine.
type preparer struct {
	writer
	rules    *rules
	keepMeta bool
	strict   bool
	changes  bool       // entries of Bundles may delete resources
	buffers  bufferPool // receives the text buffers of prepared batches

	validator strictjson.Validator
	parser    fastjson.Parser
	arena     fastjson.Arena
	resolver  referenceResolver
	checker   checker
}

// rules are the tables that resources are checked against. They are immutable.
type rules struct {
	shapes        shapes
	cardinalities *cardinalities
}

// readRules returns the tables, which it compiles once.
var readRules = sync.OnceValues(compileRules)

func compileRules() (*rules, error) {
	table, err := readShapes()
	if err != nil {
		return nil, err
	}
	ranges, err := readCardinalities()
	if err != nil {
		return nil, err
	}
	return &rules{table, ranges}, nil
}

// preparer returns a preparer for the resources of one load.
func (c Config) preparer(r *rules, buffers bufferPool) *preparer {
	return &preparer{
		writer: writer{extractor: c.Extractor}, rules: r, keepMeta: c.KeepMeta, strict: c.Strict, changes: c.Changes, buffers: buffers,
		resolver: referenceResolver{bases: c.Extractor.Bases()}, checker: checker{shapes: r.shapes},
		validator: newValidator(),
	}
}

// newValidator returns the validator of the texts of inputs.
func newValidator() strictjson.Validator {
	return strictjson.Validator{Options: strictjson.Options{CheckValues: true, MaxItems: MaxItems, Unlimited: "entry", MaxMembers: MaxMembers}}
}

// prepared is a resource that passed all checks.
type prepared struct {
	change   store.Change
	warnings []warning
	links    []link
	outside  []string // the server of each reference to another server
	hpii     []string
	localIDs []string // of the source
	served   *servedVersion
}

// parse validates a text and parses it. The tree and the values of the arena are valid until
// the next call.
func (p *preparer) parse(text []byte) (*fastjson.Value, *Refusal) {
	p.arena.Reset()
	if err := p.validator.Validate(text); err != nil {
		return nil, refuseJSON(err)
	}
	v, err := p.parser.ParseBytes(text)
	if err != nil {
		return nil, refuse(BadJSON, "the JSON text cannot be read") // the validator is stricter
	}
	if v.Type() != fastjson.TypeObject {
		return nil, refuse(BadShape, "this is not a resource: write one JSON object")
	}
	return v, nil
}

// prepare returns the change that stores the resource v. urls are the fullUrls of the Bundle
// around it, if there is one. prepare modifies v: elements are removed, names of 0.3.0 are
// replaced, the suppression is converted to its stored form, references into the directory
// become relative, and a local identifier is added. A refused resource keeps its suppression.
// When ctx ends, prepare returns between two of its steps; its results then mean nothing.
func (p *preparer) prepare(ctx context.Context, v *fastjson.Value, urls *fullURLs) (out prepared, r *Refusal) {
	t, r := identify(v)
	if r != nil {
		return out, r
	}
	removed := p.checker.removed(t, v)
	stripped := policy.Strip(t, v)
	policy.ConformNames(&p.arena, v)
	versionID, served := v.Get("meta", "versionId"), v.Get("meta", "lastUpdated")
	lastUpdated, r := p.takeMeta(v)
	if r != nil {
		return out, r
	}
	if r := cancelled(ctx); r != nil {
		return out, r
	}
	incomplete := withoutIncludeSelf(t, v)
	malformed := policy.ConformSuppression(&p.arena, t, v, stripped.Suppressions, p.rules.shapes.extension)
	if r := p.checker.resource(t.String(), v); r != nil {
		return out, r
	}
	if member, problem := policy.MisspelledState(t, v); problem != "" {
		return out, refuse(BadState, "%s", problem).within(member)
	}
	if r := cancelled(ctx); r != nil {
		return out, r
	}
	references, r := p.resolver.resolve(&p.arena, v, urls)
	if r != nil {
		return out, r
	}
	out.links, out.outside = references.links, references.outside
	id := string(v.GetStringBytes("id"))
	p.conform(t, id, v, &out)
	out.warnings = append(removed, suppressionWarnings(p.checker.found(), malformed, incomplete)...)
	out.warnings = append(out.warnings, references.warnings...)
	out.warnings = append(out.warnings, effectWarnings(t, v)...)
	if p.validator.Controls > 0 {
		out.warnings = controlWarnings(out.warnings, "", v)
	}
	if p.strict {
		if r := strictRefusal(out.warnings); r != nil {
			return out, r
		}
	}
	if t == fhir.Practitioner {
		out.hpii = identifierValues(v, hpiiSystem)
	}
	if r := cancelled(ctx); r != nil {
		return out, r
	}
	if out.change, r = p.write(t, id, v); r == nil {
		r = checkIndexRows(p.extractor, out.change.Entries)
	}
	out.change.LastUpdated = lastUpdated
	out.served = servedVersionOf(t, id, v, versionID, served, out.localIDs)
	return out, r
}

// conform gives a resource the form of its profile, as far as the directory does that itself,
// and checks it against the profile.
func (p *preparer) conform(t fhir.Type, id string, v *fastjson.Value, out *prepared) {
	empty := !hasContent(v)
	p.checker.keepFirstCode(t, v)
	out.localIDs = identifierValues(v, localSystem)
	addLocalIdentifier(&p.arena, t, id, v)
	if empty {
		p.checker.add(warning{NoContent, t.String() + ": the resource has only an id"})
		return
	}
	checkProfile(t, v, p.checker.add)
	p.checker.profile(p.rules.cardinalities, t, v)
}

// writer creates the changes that store resources. It reuses its buffers, so it serves one
// goroutine.
type writer struct {
	extractor *index.Extractor

	hasher  hasher
	scratch []byte
	entries []index.Entry
}

// write returns the change that stores a resource, which must have its stored form.
func (w *writer) write(t fhir.Type, id string, v *fastjson.Value) (store.Change, *Refusal) {
	c := store.Change{Type: t, ID: id, SourceHash: w.hasher.hash(v), Visibility: policy.OwnState(t, v)}
	w.scratch, c.Document = document(w.scratch, t, id, v)
	if size := len(w.scratch) + addedLater; size > fhir.MaxLine {
		return c, refuse(TooLarge, "the resource takes %d bytes; at most %d are stored", size, fhir.MaxLine)
	}
	c.Entries = w.extract(t, v)
	return c, nil
}

// extract returns the index entries of a resource.
func (w *writer) extract(t fhir.Type, v *fastjson.Value) []index.Entry {
	w.entries = w.extractor.Extract(w.entries[:0], t, v)
	return append([]index.Entry(nil), w.entries...)
}

// addedLater is the maximum size of what is added to a document: versionId and lastUpdated (80
// bytes), and the state that a resource inherits.
const addedLater = 600

// identify returns the type of a resource, and checks its id.
func identify(v *fastjson.Value) (fhir.Type, *Refusal) {
	name := v.Get("resourceType")
	if name == nil || name.Type() != fastjson.TypeString {
		return 0, refuse(OtherType, "resourceType is missing: write one of %s", fhir.Names(fhir.Types())).within("resourceType")
	}
	t, ok := fhir.ParseType(string(name.GetStringBytes()))
	if !ok {
		return 0, refuse(OtherType, "the directory holds only %s", fhir.Names(fhir.Types())).within("resourceType")
	}
	id := v.Get("id")
	switch {
	case id == nil:
		return 0, refuse(MissingID, "the resource has no id: references need one").within("id")
	case id.Type() != fastjson.TypeString || !fhir.ValidID(string(id.GetStringBytes())):
		return 0, refuse(BadID, "an id is a string of 1 to 64 letters, digits, hyphens and dots").within("id")
	}
	return t, nil
}

// takeMeta removes versionId and lastUpdated from meta, since the store writes its own. It
// returns lastUpdated if the load keeps it.
func (p *preparer) takeMeta(v *fastjson.Value) (*fhir.Instant, *Refusal) {
	meta := v.Get("meta")
	if meta == nil {
		return nil, nil
	}
	if meta.Type() != fastjson.TypeObject || meta.GetObject().Len() == 0 {
		return nil, refuse(BadShape, "meta is not an object with members: write one, or leave meta out").within("meta")
	}
	var kept *fhir.Instant
	if value := meta.Get("lastUpdated"); value != nil && p.keepMeta {
		instant, err := fhir.ParseInstant(string(value.GetStringBytes()))
		if err != nil {
			return nil, refuse(BadShape, "%s", checkInstant(value)).within("meta.lastUpdated")
		}
		if year := instant.Time().Year(); year < 1 || year > 9999 { // FHIR cannot write other years
			return nil, refuse(BadShape, "in UTC this instant is not in the years 0001 to 9999").within("meta.lastUpdated")
		}
		kept = &instant
	}
	dropVersion(v)
	return kept, nil
}

// dropVersion removes versionId and lastUpdated from meta, which must be an object.
func dropVersion(v *fastjson.Value) {
	meta := v.Get("meta")
	for _, name := range []string{"versionId", "_versionId", "lastUpdated", "_lastUpdated"} {
		meta.Del(name)
	}
	if meta.GetObject().Len() == 0 {
		v.Del("meta")
	}
}
