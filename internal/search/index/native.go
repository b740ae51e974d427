package index

import "github.com/valyala/fastjson"

// nativeFunc appends the entries of a parameter that an expression alone cannot define.
// found is what the expression of the definition finds in resource.
type nativeFunc func(dst []Entry, r *rule, resource *fastjson.Value, found []*fastjson.Value) []Entry

// natives are the rules that definitions name in "native".
var natives = map[string]nativeFunc{
	"active":      active,
	"status":      status,
	"suppressed":  suppressed,
	"mailAddress": mailAddress,
}

// active indexes an absent element as true: FHIR assumes that a resource is in use,
// and active=true must find what is visible.
func active(dst []Entry, r *rule, _ *fastjson.Value, found []*fastjson.Value) []Entry {
	if len(found) == 0 {
		return r.mark(r.token(dst, nil, []byte("true")))
	}
	return r.plain(dst, found)
}

// status indexes an absent element as active.
func status(dst []Entry, r *rule, _ *fastjson.Value, found []*fastjson.Value) []Entry {
	if len(found) == 0 {
		return r.mark(r.token(dst, nil, []byte("active")))
	}
	return r.plain(dst, found)
}

// mark appends the entry for :missing if the parameter has one: see
// [conformance.Param.Marker].
func (r *rule) mark(dst []Entry) []Entry {
	if r.param.Marker == 0 {
		return dst
	}
	return append(dst, Entry{Kind: Token, Param: r.param.Marker, Code: string(r.param.Marks)})
}

// suppressed indexes true or false by [IsSuppressed], and the codes of the initiators
// the guide's parameter is a boolean, but its own queries use the codes.
func suppressed(dst []Entry, r *rule, resource *fastjson.Value, found []*fastjson.Value) []Entry {
	for _, extension := range found {
		for _, part := range extension.GetArray("extension") {
			if string(part.GetStringBytes("url")) == "suppressedBy" {
				dst = codeableConcept(dst, r, part.Get("valueCodeableConcept"))
			}
		}
	}
	if len(found) > 0 || hasOldSuppression(resource) {
		dst = r.mark(dst)
	}
	if IsSuppressed(r.param.Base, resource) {
		return r.token(dst, nil, []byte("true"))
	}
	return r.token(dst, nil, []byte("false"))
}

func hasOldSuppression(resource *fastjson.Value) bool {
	for _, extension := range resource.GetArray("extension") {
		if string(extension.GetStringBytes("url")) == SuppressedOldURL {
			return true
		}
	}
	return false
}

// mailAddress indexes the parts of a postal address that the guide's expression lists,
// without country and district. The guide has one path for each part; here the addresses
// are found once.
func mailAddress(dst []Entry, r *rule, _ *fastjson.Value, found []*fastjson.Value) []Entry {
	for _, address := range found {
		dst = r.texts(dst, address.GetArray("line"))
		for _, part := range [...]string{"text", "city", "state", "postalCode"} {
			dst = r.text(dst, address.GetStringBytes(part))
		}
	}
	return dst
}
