package load

import (
	"strconv"

	"muster/internal/fhir"
	"muster/internal/policy"

	"github.com/valyala/fastjson"
)

const suppressionForm = "write extension suppressedBy with a valueCodeableConcept of the responsible-party-type codes"

// normaliseSuppression brings the suppression of a resource into the one form
// that is stored (SU-01..03, A-01, A-29): the boolean of 0.3.0 becomes the
// extension of 26.0.0 when true and goes when false, and on an Organization
// includeSelf is always written, true where the source does not say.
func normaliseSuppression(a *fastjson.Arena, t fhir.Type, v *fastjson.Value) *Refusal {
	list := v.Get("extension")
	found := false
	for i := 0; i < len(list.GetArray()); i++ {
		item := list.GetArray()[i]
		switch string(item.GetStringBytes("url")) {
		case policy.SuppressedURL:
			if r := checkSuppression(t, item); r != nil {
				return r.within("extension[" + strconv.Itoa(i) + "]")
			}
		case policy.SuppressedOldURL:
			said := item.Get("valueBoolean")
			if said == nil || isBoolean(said) != "" || t == fhir.Provenance {
				return refuse(BadSuppression, "hc-suppressed has a valueBoolean, and none on a Provenance").within("extension[" + strconv.Itoa(i) + "]")
			}
			if said.Type() == fastjson.TypeFalse || hasSuppression(list) {
				list.Del(strconv.Itoa(i))
				i--
				continue
			}
			item = newSuppression(a, t)
			list.SetArrayItem(i, item)
		default:
			continue
		}
		if found {
			return refuse(BadSuppression, "a resource is suppressed once; put both initiators into one extension").within("extension[" + strconv.Itoa(i) + "]")
		}
		found = true
		if parts := item.Get("extension"); t == fhir.Organization && !hasURL(parts, "includeSelf") {
			parts.SetArrayItem(len(parts.GetArray()), includeSelf(a))
		}
	}
	if list != nil && len(list.GetArray()) == 0 {
		v.Del("extension")
	}
	return nil
}

func hasSuppression(list *fastjson.Value) bool { return hasURL(list, policy.SuppressedURL) }

func hasURL(list *fastjson.Value, url string) bool {
	for _, item := range list.GetArray() {
		if string(item.GetStringBytes("url")) == url {
			return true
		}
	}
	return false
}

// checkSuppression checks the form of one suppression extension (SU-01..03).
func checkSuppression(t fhir.Type, item *fastjson.Value) *Refusal {
	if t == fhir.Provenance {
		return refuse(BadSuppression, "a Provenance cannot be suppressed")
	}
	by, self := 0, 0
	for _, part := range item.GetArray("extension") {
		switch string(part.GetStringBytes("url")) {
		case "suppressedBy":
			by++
			if r := checkInitiators(t, part.GetArray("valueCodeableConcept", "coding")); r != nil {
				return r
			}
		case "includeSelf":
			self++
			if said := part.Get("valueBoolean"); said == nil || isBoolean(said) != "" || t != fhir.Organization {
				return refuse(BadSuppression, "includeSelf is a valueBoolean, and only on an Organization")
			}
		default:
			return refuse(BadSuppression, "there is a part that is neither suppressedBy nor includeSelf; leave it out")
		}
	}
	if by != 1 || self > 1 {
		return refuse(BadSuppression, "suppressedBy belongs there once and includeSelf at most once; %s", suppressionForm)
	}
	return nil
}

// checkInitiators checks who suppressed: one of the initiators that the type may
// have, on a PractitionerRole either or both (SU-02). A display is let pass.
func checkInitiators(t fhir.Type, codings []*fastjson.Value) *Refusal {
	seen := map[string]bool{}
	for _, coding := range codings {
		code := string(coding.GetStringBytes("code"))
		if string(coding.GetStringBytes("system")) != policy.ResponsibleParty || seen[code] {
			return refuse(BadSuppression, "the codings of suppressedBy are not those of FHIR; %s, each once", suppressionForm)
		}
		seen[code] = true
		if code != initiator(t) && (t != fhir.PractitionerRole || code != policy.OrganisationInitiated) {
			return refuse(BadSuppression, "the initiator is not one that a %s may have; write %s", t, initiator(t))
		}
	}
	if len(codings) == 0 {
		return refuse(BadSuppression, "suppressedBy names nobody; %s", suppressionForm)
	}
	return nil
}

// initiator is who suppresses resources of a type when the source cannot say. A
// role may be suppressed from both sides; it is the practitioner's.
func initiator(t fhir.Type) string {
	if t == fhir.Practitioner || t == fhir.PractitionerRole {
		return policy.PractitionerInitiated
	}
	return policy.OrganisationInitiated
}

func newSuppression(a *fastjson.Arena, t fhir.Type) *fastjson.Value {
	coding := a.NewObject()
	coding.Set("system", a.NewString(policy.ResponsibleParty))
	coding.Set("code", a.NewString(initiator(t)))
	concept := a.NewObject()
	concept.Set("coding", list(a, coding))
	by := a.NewObject()
	by.Set("url", a.NewString("suppressedBy"))
	by.Set("valueCodeableConcept", concept)
	suppressed := a.NewObject()
	suppressed.Set("url", a.NewString(policy.SuppressedURL))
	suppressed.Set("extension", list(a, by))
	return suppressed
}

func includeSelf(a *fastjson.Arena) *fastjson.Value {
	self := a.NewObject()
	self.Set("url", a.NewString("includeSelf"))
	self.Set("valueBoolean", a.NewTrue())
	return self
}

func list(a *fastjson.Arena, item *fastjson.Value) *fastjson.Value {
	v := a.NewArray()
	v.SetArrayItem(0, item)
	return v
}
