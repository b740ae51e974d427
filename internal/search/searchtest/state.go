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

// suppressed tells whether a resource is hidden by suppression: an Organization
// not when it says includeSelf false (8.16, A-01).
func suppressed(r *Resource) bool {
	for _, e := range extensions(r.body, suppressedURL) {
		exempt := false
		for _, self := range extensions(e, "includeSelf") {
			if said, ok := self.(map[string]any)["valueBoolean"].(bool); ok && !said {
				exempt = true
			}
		}
		if r.Type != fhir.Organization || !exempt {
			return true
		}
	}
	for _, e := range extensions(r.body, suppressedOldURL) {
		if said, ok := e.(map[string]any)["valueBoolean"].(bool); !ok || said {
			return true
		}
	}
	return false
}

// visible tells whether a resource is seen by those who do not ask for other
// states: active and not suppressed (VI-01); a Provenance, that has no state, when
// all that it tells about is.
func (d *Directory) visible(r *Resource) bool {
	if r.hidden == nil {
		hidden := !active(r) || suppressed(r)
		if r.Type == fhir.Provenance {
			hidden = d.hidesTarget(r)
		}
		r.hidden = &hidden
	}
	return !*r.hidden
}

// hidesTarget tells whether a Provenance is about something that is not to be seen,
// or not there, or about nothing in the directory at all.
func (d *Directory) hidesTarget(r *Resource) bool {
	seen := false
	for _, v := range d.read(r, "target") {
		if t, _, _ := strings.Cut(v.target, "/"); !own[r.Type]["target"].pointsTo(t) {
			continue
		}
		about := d.byName[v.target]
		if about == nil || !d.visible(about) {
			return true
		}
		seen = true
	}
	return !seen
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

// saysSuppressed tells whether there is anything about suppression, which is what
// suppressed:missing asks (8.16).
func saysSuppressed(r *Resource) bool {
	return len(extensions(r.body, suppressedURL))+len(extensions(r.body, suppressedOldURL)) > 0
}

// saysState tells whether the state element is there.
func saysState(r *Resource) bool {
	_, ok := r.body[stateElement(r.Type)]
	return ok
}
