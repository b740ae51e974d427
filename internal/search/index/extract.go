package index

import (
	"fmt"
	"slices"

	"muster/internal/conformance"
	"muster/internal/fhir"
	"muster/internal/fhirpath"

	"github.com/valyala/fastjson"
)

// Extractor finds the index entries of resources. It does not change after
// [NewExtractor], so several goroutines may use it at once, each on resources of
// its own.
type Extractor struct {
	rules [fhir.Provenance + 1][]rule // by type
}

// rule is how the entries of one parameter come about.
type rule struct {
	param   conformance.Param
	path    *fhirpath.Expression
	value   valueFunc
	spell   func(string) string // of codes and uris, if set
	native  nativeFunc          // instead of value for each element of path, if set
	baseURL string
}

// NewExtractor compiles the parameters of the registry. baseURL is the public
// base of the directory without a slash at the end: absolute references below it
// are references into the directory. An error is a mistake in the definitions and
// names the parameter.
func NewExtractor(reg *conformance.Registry, baseURL string) (*Extractor, error) {
	e := &Extractor{}
	for _, t := range reg.Types() {
		for _, p := range reg.Params(t) {
			if !p.Indexed() {
				continue
			}
			r, err := newRule(p, baseURL)
			if err != nil {
				return nil, fmt.Errorf("search parameter %s?%s: %w", t, p.Code, err)
			}
			e.rules[t] = append(e.rules[t], r)
		}
	}
	return e, nil
}

func newRule(p conformance.Param, baseURL string) (rule, error) {
	r := rule{param: p, baseURL: baseURL}
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

// Extract adds the entries of a resource of type t to dst and returns it. Entries
// stand in the order of the parameters' codes, each at most once; the same
// resource always gives the same entries. Texts are copied, so v may be reused.
// Elements of the wrong form give no entry: refusing them is the validator's work.
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

// extract adds the entries of one parameter.
func (r *rule) extract(dst []Entry, resource *fastjson.Value) []Entry {
	var room [8]*fastjson.Value
	found := r.path.Append(room[:0], resource)
	if r.native != nil {
		return r.native(dst, r, resource, found)
	}
	return r.plain(dst, found)
}

// plain adds the entries of elements by the rule for their data type alone.
func (r *rule) plain(dst []Entry, found []*fastjson.Value) []Entry {
	for _, element := range found {
		dst = r.value(dst, r, element)
	}
	return dst
}

// unique removes entries of dst[from:] that stand there already. There are few
// of them, so looking through them costs less than a map.
func unique(dst []Entry, from int) []Entry {
	if len(dst)-from < 2 {
		return dst
	}
	kept := from
	for _, entry := range dst[from:] {
		if !slices.Contains(dst[from:kept], entry) {
			dst[kept] = entry
			kept++
		}
	}
	return dst[:kept]
}
