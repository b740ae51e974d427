package searchset

import (
	"fmt"
	"slices"

	"muster/internal/fhir"
	"muster/internal/policy"
	"muster/internal/search"

	"github.com/valyala/fastjson"
)

// subsettedTag marks an incomplete resource.
const subsettedTag = `{"system":"http://terminology.hl7.org/CodeSystem/v3-ObservationValue","code":"SUBSETTED","display":"Resource encoded in summary mode"}`

// represent appends a stored line in the requested representation: unchanged, or with
// some of its elements and a SUBSETTED tag. Mandatory elements, modifier elements and the
// suppression (SU-08) are always kept.
func represent(dst []byte, t fhir.Type, line []byte, form search.Representation) ([]byte, error) {
	keep := keptMembers(t, form)
	if keep == nil {
		return append(dst, line...), nil
	}
	parser, arena := parsers.Get(), arenas.Get()
	defer parsers.Put(parser)
	defer arenas.Put(arena)
	v, err := parser.ParseBytes(line)
	if err != nil {
		return nil, fmt.Errorf("parse stored %v: %w", t, err)
	}
	subset(v, arena, keep)
	return v.MarshalTo(dst), nil
}

var (
	parsers fastjson.ParserPool
	arenas  fastjson.ArenaPool
)

// subset removes the members that are not kept and adds the SUBSETTED tag.
func subset(v *fastjson.Value, arena *fastjson.Arena, keep func(member string) bool) {
	if !keep("extension") {
		keepSuppression(v, arena)
	}
	var drop []string
	v.GetObject().Visit(func(name []byte, _ *fastjson.Value) {
		if !keep(string(name)) && string(name) != "extension" {
			drop = append(drop, string(name))
		}
	})
	for _, name := range drop {
		v.Del(name)
	}
	meta := v.Get("meta")
	if meta == nil {
		meta = arena.NewObject()
		v.Set("meta", meta)
	}
	tags := meta.Get("tag")
	if tags == nil || tags.Type() != fastjson.TypeArray {
		tags = arena.NewArray()
		meta.Set("tag", tags)
	}
	tags.SetArrayItem(len(tags.GetArray()), fastjson.MustParse(subsettedTag))
}

// keepSuppression removes the extensions of a resource other than its suppression. A client must
// not take a suppressed resource for a visible one because it asked for a few elements.
func keepSuppression(v *fastjson.Value, arena *fastjson.Arena) {
	kept, n := arena.NewArray(), 0
	for _, extension := range v.GetArray("extension") {
		if policy.IsSuppression(extension.GetStringBytes("url")) {
			kept.SetArrayItem(n, extension)
			n++
		}
	}
	if n == 0 {
		v.Del("extension")
		return
	}
	v.Set("extension", kept)
}

// keptMembers returns a function that reports whether a representation keeps a member
// of the resource. It returns nil if all members are kept.
func keptMembers(t fhir.Type, form search.Representation) func(member string) bool {
	var wanted func(e fhir.Element) bool
	switch {
	case len(form.Elements) > 0:
		wanted = func(e fhir.Element) bool { return slices.Contains(form.Elements, e) }
	case form.Summary == search.SummaryTrue:
		wanted = func(e fhir.Element) bool { return e.Summary }
	case form.Summary == search.SummaryText:
		wanted = func(e fhir.Element) bool { return e.Name == "text" }
	case form.Summary == search.SummaryData:
		wanted = func(e fhir.Element) bool { return e.Name != "text" }
	default:
		return nil
	}
	var kept []fhir.Element
	for _, e := range fhir.Elements(t) {
		if e.Required || e.Modifier || wanted(e) {
			kept = append(kept, e)
		}
	}
	return func(member string) bool {
		return member == "resourceType" || slices.ContainsFunc(kept, func(e fhir.Element) bool { return e.HoldsMember(member) })
	}
}
