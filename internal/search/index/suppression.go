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
// extensions. The extension of 26.0.0 hides by its presence, whatever is inside
// (SU-01). One form exempts: an Organization with exactly one such extension, which
// says exactly once, and as a boolean, that includeSelf is false (SU-10). It hides
// only the children of the organisation then. What is not said clearly must not make
// a resource visible. The extension of 0.3.0 hides unless it says the boolean
// false. Nothing of resource is changed but its strings, which are decoded in place.
func IsSuppressed(t fhir.Type, resource *fastjson.Value) bool {
	var present, exempting int
	for _, extension := range resource.GetArray("extension") {
		switch string(extension.GetStringBytes("url")) {
		case SuppressedOldURL:
			if !isFalse(extension.Get("valueBoolean")) {
				return true
			}
		case SuppressedURL:
			present++
			if exemptsSelf(extension) {
				exempting++
			}
		}
	}
	exempt := t == fhir.Organization && present == 1 && exempting == 1
	return present > 0 && !exempt
}

// exemptsSelf reports whether a suppression extension has exactly one includeSelf, and
// that one is the boolean false.
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

// isFalse reports whether an element is there and is the boolean false.
func isFalse(said *fastjson.Value) bool {
	return said != nil && said.Type() == fastjson.TypeFalse
}
