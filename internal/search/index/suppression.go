package index

import (
	"muster/internal/fhir"

	"github.com/valyala/fastjson"
)

// The extensions that suppress a resource.
const (
	// SuppressedURL is the suppression extension of 26.0.0 (SU-01).
	SuppressedURL = "http://digitalhealth.gov.au/fhir/cc/StructureDefinition/suppressed"
	// SuppressedOldURL is the boolean extension of 0.3.0 that it replaced.
	SuppressedOldURL = "http://digitalhealth.gov.au/fhir/hcpd/StructureDefinition/hc-suppressed"
)

// IsSuppressed reports whether a resource of type t is suppressed by its own root
// extensions. The extension of 26.0.0 suppresses by its presence, with any content
// (SU-01). There is one exemption: an Organization with exactly one such extension that has
// exactly one includeSelf, which is the boolean false (SU-10). It suppresses only the
// children of the organisation. Unclear content must not make a resource visible.
// The extension of 0.3.0 suppresses unless its value is the boolean false. IsSuppressed
// decodes strings of the resource in place and changes nothing else.
func IsSuppressed(t fhir.Type, resource *fastjson.Value) bool {
	return Suppression(t, resource)&Suppressed != 0
}

// Suppression returns [Suppressed] if a resource is suppressed by its own root extensions
// ([IsSuppressed]), [HidesDependants] if it is an Organization whose extension suppresses only
// what belongs to it, and otherwise 0.
func Suppression(t fhir.Type, resource *fastjson.Value) Visibility {
	var present, exempting int
	for _, extension := range resource.GetArray("extension") {
		switch string(extension.GetStringBytes("url")) {
		case SuppressedOldURL:
			if !isFalse(extension.Get("valueBoolean")) {
				return Suppressed
			}
		case SuppressedURL:
			present++
			if exemptsSelf(extension) {
				exempting++
			}
		}
	}
	switch {
	case present == 0:
		return 0
	case t == fhir.Organization && present == 1 && exempting == 1:
		return HidesDependants
	}
	return Suppressed
}

// exemptsSelf reports whether a suppression extension has exactly one includeSelf, which is
// the boolean false.
func exemptsSelf(extension *fastjson.Value) bool {
	var present, exempting int
	for _, part := range extension.GetArray("extension") {
		if string(part.GetStringBytes("url")) != "includeSelf" {
			continue
		}
		present++
		if isFalse(part.Get("valueBoolean")) {
			exempting++
		}
	}
	return present == 1 && exempting == 1
}

// isFalse reports whether an element is present and is the boolean false.
func isFalse(element *fastjson.Value) bool {
	return element != nil && element.Type() == fastjson.TypeFalse
}
