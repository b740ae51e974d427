package searchtest

import (
	"strings"

	"muster/internal/fhir"
)

const (
	suppressedURL    = "http://digitalhealth.gov.au/fhir/cc/StructureDefinition/suppressed"
	suppressedOldURL = "http://digitalhealth.gov.au/fhir/hcpd/StructureDefinition/hc-suppressed"
)

// stateElement is the element that says whether a resource is active (VI-03).
func stateElement(t fhir.Type) string {
	switch t {
	case fhir.Location, fhir.Endpoint:
		return "status"
	case fhir.Provenance:
		return ""
	}
	return "active"
}

// active tells whether a resource is; one that does not say is.
func active(r *Resource) bool {
	switch said := r.body[stateElement(r.Type)].(type) {
	case bool:
		return said
	case string:
		return said == "active"
	}
	return true
}

// suppressed tells whether a resource is hidden by suppression: by the extension,
// whatever is inside (8.16), but not an Organization that says once, in one extension,
// that includeSelf is false. The old extension hides unless it says false.
func suppressed(r *Resource) bool {
	for _, e := range extensions(r.body, suppressedOldURL) {
		if !isFalse(e) {
			return true
		}
	}
	current := extensions(r.body, suppressedURL)
	if len(current) == 0 {
		return false
	}
	self := extensions(current[0], "includeSelf")
	return r.Type != fhir.Organization || len(current) > 1 || len(self) != 1 || !isFalse(self[0])
}

// isFalse tells whether the value of an extension is the boolean false.
func isFalse(extension any) bool {
	said, ok := extension.(map[string]any)["valueBoolean"].(bool)
	return ok && !said
}

// visible tells whether a resource is seen by those who do not ask for other
// states: active and not suppressed (VI-01); a Provenance, that is never inactive, when
// all that it tells about is visible, too.
func (d *Directory) visible(r *Resource) bool {
	if r.hidden == nil {
		hidden := !active(r) || suppressed(r) || r.Type == fhir.Provenance && d.hasHiddenTarget(r, d.visible)
		r.hidden = &hidden
	}
	return !*r.hidden
}

// unsuppressed tells whether a resource is seen by those who may not see what is
// suppressed, but may see all else: a Provenance when nothing that it tells about is
// suppressed or gone.
func (d *Directory) unsuppressed(r *Resource) bool {
	return !suppressed(r) && !(r.Type == fhir.Provenance && d.hasHiddenTarget(r, d.unsuppressed))
}

// hasHiddenTarget tells whether a Provenance is about something that is not to be seen,
// or not there, or about nothing in the directory at all.
func (d *Directory) hasHiddenTarget(r *Resource, seen func(*Resource) bool) bool {
	some := false
	for _, v := range d.read(r, "target") {
		if t, _, _ := strings.Cut(v.target, "/"); !parametersByType[r.Type]["target"].pointsTo(t) {
			continue
		}
		about := d.byName[v.target]
		if about == nil || !seen(about) {
			return true
		}
		some = true
	}
	return !some
}

// states are the tokens of active or status: what stands there, or what is assumed.
func states(_ *Directory, r *Resource) []value {
	said, ok := r.body[stateElement(r.Type)]
	if ok {
		return plainCode(nil, said)
	}
	if stateElement(r.Type) == "active" {
		return []value{{code: "true"}}
	}
	return []value{{code: "active"}}
}

// suppressions are the tokens of suppressed: true or false, and who suppressed (8.16).
func suppressions(d *Directory, r *Resource) []value {
	list := plainCode(nil, suppressed(r))
	for _, e := range extensions(r.body, suppressedURL) {
		for _, by := range extensions(e, "suppressedBy") {
			list = append(list, concept(d, by.(map[string]any)["valueCodeableConcept"])...)
		}
	}
	return list
}

// hasSuppressionExtension tells whether there is anything about suppression, which is what
// suppressed:missing asks (8.16).
func hasSuppressionExtension(r *Resource) bool {
	return len(extensions(r.body, suppressedURL))+len(extensions(r.body, suppressedOldURL)) > 0
}

// hasStateElement tells whether the state element is there.
func hasStateElement(r *Resource) bool {
	_, ok := r.body[stateElement(r.Type)]
	return ok
}
