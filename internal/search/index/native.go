package index

import "github.com/valyala/fastjson"

// nativeFunc adds the entries of a parameter whose meaning an expression alone
// cannot say. found is what the expression of the definitions finds in resource.
type nativeFunc func(dst []Entry, r *rule, resource *fastjson.Value, found []*fastjson.Value) []Entry

// natives holds the rules that definitions name in "native".
var natives = map[string]nativeFunc{
	"active":      active,
	"status":      status,
	"suppressed":  suppressed,
	"mailAddress": mailAddress,
}

// active takes an absent element for true: FHIR assumes a resource to be
// in use, and active=true must find what is visible.
func active(dst []Entry, r *rule, _ *fastjson.Value, found []*fastjson.Value) []Entry {
	if len(found) == 0 {
		return r.mark(r.token(dst, nil, []byte("true")))
	}
	return r.plain(dst, found)
}

// status is active for types that say it in a code.
func status(dst []Entry, r *rule, _ *fastjson.Value, found []*fastjson.Value) []Entry {
	if len(found) == 0 {
		return r.mark(r.token(dst, nil, []byte("active")))
	}
	return r.plain(dst, found)
}

// mark adds the entry that answers :missing, where the entries of the parameter
// itself cannot: see [conformance.Param.Marker].
func (r *rule) mark(dst []Entry) []Entry {
	if r.param.Marker == 0 {
		return dst
	}
	return append(dst, Entry{Kind: Token, Param: r.param.Marker, Code: string(r.param.Marks)})
}

// suppressed gives true or false, always one of them, and the codes of the
// initiators beside it: the guide's parameter yields a boolean, its own
// queries use the codes. [IsSuppressed] decides which.
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

// mailAddress gives the parts of a postal address that the guide's expression lists,
// one path for each. Country and district are not among them. The addresses are found
// once and taken apart here, instead of walking ten paths.
func mailAddress(dst []Entry, r *rule, _ *fastjson.Value, found []*fastjson.Value) []Entry {
	for _, address := range found {
		dst = r.texts(dst, address.GetArray("line"))
		for _, part := range [...]string{"text", "city", "state", "postalCode"} {
			dst = r.text(dst, address.GetStringBytes(part))
		}
	}
	return dst
}
