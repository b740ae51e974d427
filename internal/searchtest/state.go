package searchtest

import (
	"strings"

	"muster/internal/fhir"
)

const (
	suppressedURL    = "http://digitalhealth.gov.au/fhir/cc/StructureDefinition/suppressed"
	suppressedOldURL = "http://digitalhealth.gov.au/fhir/hcpd/StructureDefinition/hc-suppressed"
)

// stateElement returns the element that states whether a resource is active (VI-03).
func stateElement(t fhir.Type) string {
	switch t {
	case fhir.Location, fhir.Endpoint:
		return "status"
	case fhir.Provenance:
		return ""
	}
	return "active"
}

// active reports whether a resource is active. A resource without the state element is
// active.
func active(r *Resource) bool {
	switch state := r.body[stateElement(r.Type)].(type) {
	case bool:
		return state
	case string:
		return state == "active"
	}
	return true
}

// suppressed reports whether a resource is hidden by suppression. Any suppression
// extension hides it, whatever its content (8.16), except for an Organization with
// exactly one extension that has exactly one includeSelf with the value false. The
// old extension hides the resource unless its value is false.
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

// isFalse reports whether the value of an extension is the boolean false.
func isFalse(extension any) bool {
	value, ok := extension.(map[string]any)["valueBoolean"].(bool)
	return ok && !value
}

// visible reports whether a query that names no state finds a resource: it must be active
// and not suppressed (VI-01). A Provenance is never inactive, but all its targets must be
// visible too.
func (d *Directory) visible(r *Resource) bool {
	if r.hidden == nil {
		hidden := !active(r) || suppressed(r) || r.Type == fhir.Provenance && d.hasHiddenTarget(r, d.visible)
		r.hidden = &hidden
	}
	return !*r.hidden
}

// unsuppressed reports whether a client with access to all but suppressed resources finds
// a resource. It does not find a Provenance with a suppressed or missing target.
func (d *Directory) unsuppressed(r *Resource) bool {
	return !suppressed(r) && !(r.Type == fhir.Provenance && d.hasHiddenTarget(r, d.unsuppressed))
}

// hasHiddenTarget reports whether a Provenance has a hidden or missing target, or no
// target in the directory.
func (d *Directory) hasHiddenTarget(r *Resource, visible func(*Resource) bool) bool {
	found := false
	for _, v := range d.read(r, "target") {
		if t, _, _ := strings.Cut(v.target, "/"); !parametersByType[r.Type]["target"].pointsTo(t) {
			continue
		}
		target := d.byName[v.target]
		if target == nil || !visible(target) {
			return true
		}
		found = true
	}
	return !found
}

// states returns the tokens of active or status: the value of the element, or its
// default.
func states(_ *Directory, r *Resource) []value {
	state, ok := r.body[stateElement(r.Type)]
	if ok {
		return plainCode(nil, state)
	}
	if stateElement(r.Type) == "active" {
		return []value{{code: "true"}}
	}
	return []value{{code: "active"}}
}

// suppressions returns the tokens of suppressed: true or false, and the responsible party
// (8.16).
func suppressions(d *Directory, r *Resource) []value {
	list := plainCode(nil, suppressed(r))
	for _, e := range extensions(r.body, suppressedURL) {
		for _, by := range extensions(e, "suppressedBy") {
			list = append(list, concept(d, by.(map[string]any)["valueCodeableConcept"])...)
		}
	}
	return list
}

// hasSuppressionExtension reports whether a resource has a suppression extension, which
// is what suppressed:missing tests (8.16).
func hasSuppressionExtension(r *Resource) bool {
	return len(extensions(r.body, suppressedURL))+len(extensions(r.body, suppressedOldURL)) > 0
}

// hasStateElement reports whether a resource has the state element.
func hasStateElement(r *Resource) bool {
	_, ok := r.body[stateElement(r.Type)]
	return ok
}
