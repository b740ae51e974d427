package index

import (
	"fmt"
	"slices"
	"strings"

	"muster/internal/conformance"
	"muster/internal/fhir"
	"muster/internal/fhirpath"

	"github.com/valyala/fastjson"
)

// Extractor extracts the index entries of resources. It is safe for concurrent use on
// different resources.
type Extractor struct {
	rules      [fhir.Provenance + 1][]rule // by type
	references []conformance.Param
	bases      []string
}

// References returns the parameters by which references are indexed, in the order of types and
// codes. The caller must not change the list.
func (e *Extractor) References() []conformance.Param { return e.references }

// Bases returns the base URLs of the directory, present and former. References below them are
// references into the directory.
func (e *Extractor) Bases() []string { return e.bases }

// Code returns the code of the search parameter with an id, for messages.
func (e *Extractor) Code(param int) string {
	for _, rules := range e.rules {
		for i := range rules {
			if p := &rules[i].param; param == p.ID || param == p.Marker || param == p.Parts {
				return p.Code
			}
		}
	}
	return ""
}

// rule extracts the entries of one parameter.
type rule struct {
	param  conformance.Param
	path   *fhirpath.Expression
	value  valueFunc
	spell  func(string) string // of codes and uris, if set
	native nativeFunc          // instead of value for each element of path, if set
	bases  []string
}

// NewExtractor compiles the parameters of the registry. bases are the base URLs of the
// directory, present and former, without a trailing slash: absolute references below them are
// references into the directory. An error is a mistake in the definitions and names the
// parameter.
func NewExtractor(reg *conformance.Registry, bases ...string) (*Extractor, error) {
	e := &Extractor{references: reg.References(), bases: bases}
	for _, t := range reg.Types() {
		for _, p := range reg.Params(t) {
			if !p.Indexed() {
				continue
			}
			r, err := newRule(p, bases)
			if err != nil {
				return nil, fmt.Errorf("search parameter %s?%s: %w", t, p.Code, err)
			}
			e.rules[t] = append(e.rules[t], r)
		}
	}
	return e, nil
}

// Naming returns an extractor of those parameters whose entries may depend on one of the elements of
// a resource: their expressions contain its name.
func (e *Extractor) Naming(elements []string) *Extractor {
	part := &Extractor{bases: e.bases}
	for t, rules := range e.rules {
		for _, r := range rules {
			if slices.ContainsFunc(elements, func(name string) bool { return strings.Contains(r.param.Expression, "."+name) }) {
				part.rules[t] = append(part.rules[t], r)
			}
		}
	}
	return part
}

func newRule(p conformance.Param, bases []string) (rule, error) {
	r := rule{param: p, bases: bases}
	var err error
	if r.path, err = fhirpath.Compile(p.Expression); err != nil {
		return rule{}, err
	}
	form, ok := values[valueForm{p.Type, p.Element}]
	if !ok {
		return rule{}, fmt.Errorf("a %s parameter cannot be made from elements of type %q: add the rule to values.go", p.Type, p.Element)
	}
	r.value = form
	if p.Spelling != "" {
		if r.spell, ok = spellings[p.Spelling]; !ok {
			return rule{}, fmt.Errorf("there is no spelling %q: add it to spelling.go", p.Spelling)
		}
	}
	if p.Native != "" {
		if r.native, ok = natives[p.Native]; !ok {
			return rule{}, fmt.Errorf("there is no native rule %q: add it to native.go", p.Native)
		}
	}
	return r, nil
}

// Extract appends the entries of a resource of type t to dst and returns it. Entries are in
// the order of the parameters' codes, without duplicates; the same resource always has the
// same entries. Texts are copied, so v may be reused. Elements of the wrong form have no
// entry: package load validates resources.
func (e *Extractor) Extract(dst []Entry, t fhir.Type, v *fastjson.Value) []Entry {
	if int(t) >= len(e.rules) {
		return dst
	}
	for i := range e.rules[t] {
		from := len(dst)
		dst = e.rules[t][i].extract(dst, v)
		shorten(dst[from:])
		dst = unique(dst, from)
	}
	return dst
}

// extract appends the entries of one parameter.
func (r *rule) extract(dst []Entry, resource *fastjson.Value) []Entry {
	var room [8]*fastjson.Value
	found := r.path.Append(room[:0], resource)
	if r.native != nil {
		return r.native(dst, r, resource, found)
	}
	return r.plain(dst, found)
}

// plain appends the entries of elements by the rule for their data type.
func (r *rule) plain(dst []Entry, found []*fastjson.Value) []Entry {
	for _, element := range found {
		dst = r.value(dst, r, element)
	}
	return dst
}

// manyEntries is the number of entries from which duplicates are found with a map. Below it,
// comparing each entry with all others is faster.
const manyEntries = 32

// unique removes duplicates from dst[from:]. Its cost grows with the number of entries.
func unique(dst []Entry, from int) []Entry {
	entries := dst[from:]
	if len(entries) < 2 {
		return dst
	}
	var seen map[Entry]bool
	if len(entries) >= manyEntries {
		seen = make(map[Entry]bool, len(entries))
	}
	kept := entries[:0]
	for _, entry := range entries {
		switch {
		case seen == nil:
			if slices.Contains(kept, entry) {
				continue
			}
		case seen[entry]:
			continue
		default:
			seen[entry] = true
		}
		kept = append(kept, entry)
	}
	return dst[:from+len(kept)]
}
