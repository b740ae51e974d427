package policy

import (
	"slices"

	"muster/internal/fhir"
	"muster/internal/search/index"

	"github.com/valyala/fastjson"
)

// Relation is a reference by which the state of one resource depends on that of another.
type Relation struct {
	From  fhir.Type
	Param string // the search parameter that finds the reference
	To    fhir.Type
	// Element is the element that has the reference.
	Element string
}

// Belongs are the references to what a resource belongs to: a suppressed or inactive
// Organization or Practitioner hides what belongs to it (SU-04, SU-05, SU-11). An
// Organization is not hidden by the one that it is part of, nor a Practitioner by a role
// (SU-06).
var Belongs = []Relation{
	{fhir.HealthcareService, "organization", fhir.Organization, "providedBy"},
	{fhir.Location, "organization", fhir.Organization, "managingOrganization"},
	{fhir.PractitionerRole, "organization", fhir.Organization, "organization"},
	{fhir.PractitionerRole, "practitioner", fhir.Practitioner, "practitioner"},
	{fhir.Endpoint, "organization", fhir.Organization, "managingOrganization"},
}

// Uses are the references from what uses an Endpoint: it is hidden with the last of them
//
var Uses = []Relation{
	{fhir.HealthcareService, "endpoint", fhir.Endpoint, "endpoint"},
	{fhir.Location, "endpoint", fhir.Endpoint, "endpoint"},
	{fhir.PractitionerRole, "endpoint", fhir.Endpoint, "endpoint"},
}

// About are the references to what a Provenance is about. It is visible only if all of that is
// so it gets a new version when the state of one changes, and deltas carry it.
var About = func() (about []Relation) {
	for _, t := range fhir.Types() {
		if t != fhir.Provenance {
			about = append(about, Relation{fhir.Provenance, "target", t, "target"})
		}
	}
	return about
}()

// Owner is a resource that others belong to, with its own state.
type Owner struct {
	Type  fhir.Type
	State index.Visibility
}

// Inherit returns the state that a resource has from others: from the owners that it belongs
// to, and from the users of it, if it is an Endpoint. The result is a union of flags, so it does not
// depend on their order. An owner that never arrived is not among the owners.
//
// An owner that is inactive makes the resource inactive. One that is suppressed, or that
// suppresses only its dependants, suppresses it, by its kind of initiator. Users hide the
// resource if there is at least one and all are hidden: it is suppressed if one of them is, and
// inactive if one of them is.
func Inherit(owners []Owner, users []index.Visibility) (state index.Visibility) {
	for _, owner := range owners {
		state |= owner.State & index.Inactive
		if owner.State&(index.Suppressed|index.HidesDependants) == 0 {
			continue
		}
		state |= index.Suppressed
		if owner.Type == fhir.Practitioner {
			state |= index.ByPractitioner
		} else {
			state |= index.ByOrganisation
		}
	}
	state |= usersState(users)
	if state&index.Suppressed != 0 && state&(index.ByOrganisation|index.ByPractitioner) == 0 {
		state |= index.ByOrganisation // the only initiator that an Endpoint may have
	}
	return state
}

// usersState returns the union of the states of the users, or 0 if one of them is visible.
func usersState(users []index.Visibility) (all index.Visibility) {
	for _, user := range users {
		if user&index.Hidden == 0 {
			return 0
		}
		all |= user & index.Hidden
	}
	return all
}

// MayInherit returns those flags of the state that the resource v shows that it may have from
// others: it refers to an owner, or is an Endpoint, and its active or status says what
// [WithInherited] writes.
func MayInherit(t fhir.Type, v *fastjson.Value) index.Visibility {
	if !dependsOnOthers(t, v) {
		return 0
	}
	state := OwnState(t, v) & index.Hidden
	if !saysDeactivated(t, v) {
		state &^= index.Inactive
	}
	return state
}

// dependsOnOthers reports whether the resource v may inherit a state: it has a reference to an
// owner, or others may use it.
func dependsOnOthers(t fhir.Type, v *fastjson.Value) bool {
	for _, r := range Uses {
		if r.To == t {
			return true
		}
	}
	for _, r := range Belongs {
		if r.From == t && slices.ContainsFunc(references(v.Get(r.Element)), func(reference *fastjson.Value) bool {
			return reference.Exists("reference") && !leadsNowhere(reference)
		}) {
			return true
		}
	}
	return false
}

// StateElements are the elements that [WithInherited] changes.
var StateElements = []string{"active", "status", "extension"}

// WithInherited changes the resource v, which must have its stored form, so that it shows the
// state that it inherits (SU-07, SU-11): its active or status says that it is not active, and
// it has the suppressed extension with the initiators. A suppression of its own stays, and the
// initiators that it does not name are added to its codings.
func WithInherited(a *fastjson.Arena, t fhir.Type, v *fastjson.Value, inherited index.Visibility) {
	if inherited&index.Inactive != 0 {
		deactivate(a, t, v)
	}
	if inherited&index.Suppressed == 0 {
		return
	}
	codes := initiators(inherited)
	for _, extension := range v.GetArray("extension") {
		if IsSuppression(extension.GetStringBytes("url")) {
			addInitiators(a, extension, codes)
			return
		}
	}
	appendItem(a, v, "extension", newSuppressionBy(a, t, codes))
}

// initiators returns the codes of an inherited suppression.
func initiators(inherited index.Visibility) (codes []string) {
	if inherited&index.ByOrganisation != 0 {
		codes = append(codes, OrganisationInitiated)
	}
	if inherited&index.ByPractitioner != 0 {
		codes = append(codes, PractitionerInitiated)
	}
	return codes
}

// addInitiators adds the codes that the first suppressedBy of a suppression does not have.
// Codings that the guide does not know stay.
func addInitiators(a *fastjson.Arena, extension *fastjson.Value, codes []string) {
	for _, part := range extension.GetArray("extension") {
		concept := part.Get("valueCodeableConcept")
		if string(part.GetStringBytes("url")) != "suppressedBy" || concept == nil {
			continue
		}
		for _, code := range codes {
			if !hasCoding(concept, code) {
				appendItem(a, concept, "coding", newInitiator(a, code))
			}
		}
		return
	}
}

func hasCoding(concept *fastjson.Value, code string) bool {
	for _, coding := range concept.GetArray("coding") {
		if string(coding.GetStringBytes("system")) == ResponsibleParty && string(coding.GetStringBytes("code")) == code {
			return true
		}
	}
	return false
}

// WithoutEffect returns the elements of a resource by which it would depend on another one, but
// whose reference is only by identifier or leads to a contained resource: states do not follow
// these.
func WithoutEffect(t fhir.Type, v *fastjson.Value) (elements []string) {
	for _, list := range [][]Relation{Belongs, Uses} {
		for _, r := range list {
			if r.From == t && slices.ContainsFunc(references(v.Get(r.Element)), leadsNowhere) {
				elements = append(elements, r.Element)
			}
		}
	}
	return elements
}

// references returns the references of an element, which is one or a list.
func references(element *fastjson.Value) []*fastjson.Value {
	switch {
	case element == nil:
		return nil
	case element.Type() == fastjson.TypeArray:
		return element.GetArray()
	}
	return []*fastjson.Value{element}
}

// leadsNowhere reports whether a reference is only by identifier or leads to a contained resource.
func leadsNowhere(reference *fastjson.Value) bool {
	text := reference.GetStringBytes("reference")
	return len(text) == 0 && reference.Exists("identifier") || len(text) > 0 && text[0] == '#'
}
