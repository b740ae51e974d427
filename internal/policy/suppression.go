package policy

import (
	"strconv"
	"strings"

	"muster/internal/fhir"
	"muster/internal/search/index"

	"github.com/valyala/fastjson"
)

// IsSuppression reports whether an extension with the URL suppresses its resource (SU-01).
// The text only has to contain the URL, in any case and with any surrounding text: an
// extension that is not recognised would leave the resource visible. A URL with a longer
// name is another extension.
func IsSuppression(url []byte) bool { return endsName(url, suppressedName) }

func isOldSuppression(url []byte) bool { return endsName(url, suppressedOldName) }

// The URLs without their schemes, in lower case.
var (
	suppressedName    = strings.ToLower(strings.TrimPrefix(SuppressedURL, "http://"))
	suppressedOldName = strings.ToLower(strings.TrimPrefix(SuppressedOldURL, "http://"))
)

// endsName reports whether a text contains a URL that ends with the name.
func endsName(text []byte, name string) bool {
	at := indexFold(text, name)
	if at < 0 {
		return false
	}
	after := text[at+len(name):]
	return len(after) == 0 || !isNameByte(after[0])
}

// isNameByte reports whether a byte continues the name at the end of a URL.
func isNameByte(b byte) bool {
	return b == '-' || b == '_' || b >= '0' && b <= '9' || b|0x20 >= 'a' && b|0x20 <= 'z'
}

// Malformed is what is wrong with a suppression that still hides its resource.
type Malformed struct{ Path, Text string }

const suppressionForm = "write extension suppressedBy with a valueCodeableConcept of the responsible-party-type codes"

// ConformSuppression rewrites the suppression of the resource v in the form that is stored,
// and returns what was wrong with it (SU-01..03, SU-10, A-01, A-29). The presence of the
// extension hides the resource, with any content:
//
//   - The boolean of 0.3.0 becomes the extension of 26.0.0. It is removed if it is false
//     or if the resource has that extension too.
//   - An extension that no client could interpret, because it has no initiator or is not
//     valid in FHIR (sound returns false), is replaced by a well-formed one.
//   - On an Organization that is hidden itself, includeSelf is always written, as true.
//   - A suppression elsewhere in the resource is also written at the root, where clients
//     expect it. mentions is the number that [Strip] found.
func ConformSuppression(a *fastjson.Arena, t fhir.Type, v *fastjson.Value, mentions int, sound func(extension *fastjson.Value) bool) (found []Malformed) {
	list := v.Get("extension")
	if list != nil && list.Type() != fastjson.TypeArray {
		return nil // the resource is rejected
	}
	say := func(n int, problem string) {
		found = append(found, Malformed{"extension[" + strconv.Itoa(n) + "]", problem})
	}
	var kept []*fastjson.Value
	old := false
	exempt := mentions == 1 && isExempt(t, list)
	for n, item := range list.GetArray() {
		switch url := item.GetStringBytes("url"); {
		case IsSuppression(url):
			item = conformExtension(a, t, item, exempt, sound, func(problem string) { say(n, problem) })
			list.SetArrayItem(n, item)
			if kept = append(kept, item); len(kept) > 1 {
				say(n, "a resource has one suppression; write both initiators into one extension")
			}
		case isOldSuppression(url) && !saysFalse(item):
			old = true
			if said := item.Get("valueBoolean"); said == nil || said.Type() != fastjson.TypeTrue {
				say(n, "hc-suppressed must have the valueBoolean true or false and nothing else")
			}
		}
	}
	removeItems(v, "extension", func(item *fastjson.Value) bool { return isOldSuppression(item.GetStringBytes("url")) })
	switch {
	case len(kept) == 0 && old:
		addSuppression(a, t, v)
	case len(kept) == 0 && mentions > 0:
		addSuppression(a, t, v)
		found = append(found, Malformed{"extension", "the suppressed extension is not at the root of the resource; write it there"})
	case t == fhir.Organization && (old || !exempt):
		for _, item := range kept {
			includeSelf(a, item, true)
		}
	}
	return found
}

// isExempt reports whether the suppression among the extensions of an Organization has
// exactly one includeSelf, which is the boolean false: it does not hide the Organization
// itself (SU-10).
func isExempt(t fhir.Type, extensions *fastjson.Value) bool {
	if t != fhir.Organization {
		return false
	}
	self, no := 0, 0
	for _, item := range extensions.GetArray() {
		if !IsSuppression(item.GetStringBytes("url")) {
			continue
		}
		for _, part := range item.GetArray("extension") {
			if mentionsSelf(nil, part, nil) {
				self++
			}
			said := part.Get("valueBoolean")
			if string(part.GetStringBytes("url")) == "includeSelf" && said != nil && said.Type() == fastjson.TypeFalse {
				no++
			}
		}
	}
	return self == 1 && no == 1
}

// mentionsSelf reports whether a part of a suppression contains the text includeSelf, in any
// case and at any depth: a suppression with two of them exempts nothing.
func mentionsSelf(key []byte, v, _ *fastjson.Value) bool {
	if v.Type() == fastjson.TypeString && strings.EqualFold(strings.TrimSpace(string(v.GetStringBytes())), "includeSelf") {
		return true
	}
	return within(key, v, mentionsSelf)
}

// conformExtension returns the extension to store instead of item. exempt is for an
// Organization that is exempt.
func conformExtension(a *fastjson.Arena, t fhir.Type, item *fastjson.Value, exempt bool, sound func(*fastjson.Value) bool, say func(string)) *fastjson.Value {
	problem := suppressionProblem(t, item)
	if problem == "" && string(item.GetStringBytes("url")) != SuppressedURL {
		problem = "the url is not spelled as in the guide"
	}
	if problem != "" {
		say(problem)
	}
	hasValue := false
	item.GetObject().Visit(func(key []byte, _ *fastjson.Value) {
		hasValue = hasValue || strings.HasPrefix(strings.TrimPrefix(string(key), "_"), "value")
	})
	item.Set("url", a.NewString(SuppressedURL))
	if hasValue || !hasURL(item.Get("extension"), "suppressedBy") || !sound(item) {
		if problem == "" {
			say("it is not a valid FHIR extension")
		}
		item = newSuppression(a, t)
		if exempt {
			includeSelf(a, item, false)
		}
	}
	return item
}

// saysFalse reports whether an extension of 0.3.0 is false and has nothing else.
func saysFalse(extension *fastjson.Value) bool {
	said := extension.Get("valueBoolean")
	if said == nil || said.Type() != fastjson.TypeFalse {
		return false
	}
	members := extension.GetObject().Len()
	return members == 2 || members == 3 && extension.Exists("id")
}

func hasURL(list *fastjson.Value, url string) bool {
	for _, item := range list.GetArray() {
		if string(item.GetStringBytes("url")) == url {
			return true
		}
	}
	return false
}

// suppressionProblem returns what is wrong with a suppression extension (SU-01..03), the
// empty text if it is well-formed.
func suppressionProblem(t fhir.Type, item *fastjson.Value) string {
	if t == fhir.Provenance {
		return "the guide has no suppression of a Provenance"
	}
	by, self := 0, 0
	for _, part := range item.GetArray("extension") {
		switch string(part.GetStringBytes("url")) {
		case "suppressedBy":
			by++
			if problem := initiatorProblem(t, part.GetArray("valueCodeableConcept", "coding")); problem != "" {
				return problem
			}
		case "includeSelf":
			self++
			said := part.Get("valueBoolean")
			if t != fhir.Organization || said == nil || said.Type() != fastjson.TypeTrue && said.Type() != fastjson.TypeFalse {
				return "includeSelf is a valueBoolean, and only on an Organization"
			}
		default:
			return "there is a part that is neither suppressedBy nor includeSelf; leave it out"
		}
	}
	if by != 1 || self > 1 {
		return "suppressedBy must occur once and includeSelf at most once; " + suppressionForm
	}
	return ""
}

// initiatorProblem checks the initiator: one of those that the type may have, on a
// PractitionerRole one or both (SU-02). It ignores a display.
func initiatorProblem(t fhir.Type, codings []*fastjson.Value) string {
	seen := map[string]bool{}
	for _, coding := range codings {
		code := string(coding.GetStringBytes("code"))
		if string(coding.GetStringBytes("system")) != ResponsibleParty || seen[code] {
			return "the codings of suppressedBy are not those of the guide; " + suppressionForm + ", each once"
		}
		seen[code] = true
		if code != initiator(t) && (t != fhir.PractitionerRole || code != OrganisationInitiated) {
			return "the initiator is not one that a " + t.String() + " may have; write " + initiator(t)
		}
	}
	if len(codings) == 0 {
		return "suppressedBy has no coding; " + suppressionForm
	}
	return ""
}

// initiator returns the initiator of a suppression if the source does not state it. A
// PractitionerRole may have both; it gets that of the practitioner.
func initiator(t fhir.Type) string {
	if t == fhir.Practitioner || t == fhir.PractitionerRole {
		return PractitionerInitiated
	}
	return OrganisationInitiated
}

// addSuppression writes a well-formed suppression at the root of a resource.
func addSuppression(a *fastjson.Arena, t fhir.Type, v *fastjson.Value) {
	appendItem(a, v, "extension", newSuppression(a, t))
}

// newSuppression returns a well-formed suppression extension for resources of a type.
func newSuppression(a *fastjson.Arena, t fhir.Type) *fastjson.Value {
	return newSuppressionBy(a, t, []string{initiator(t)})
}

// newSuppressionBy returns a well-formed suppression extension with the initiators.
func newSuppressionBy(a *fastjson.Arena, t fhir.Type, initiators []string) *fastjson.Value {
	concept := a.NewObject()
	for _, code := range initiators {
		appendItem(a, concept, "coding", newInitiator(a, code))
	}
	by := a.NewObject()
	by.Set("url", a.NewString("suppressedBy"))
	by.Set("valueCodeableConcept", concept)
	suppressed := a.NewObject()
	suppressed.Set("url", a.NewString(SuppressedURL))
	appendItem(a, suppressed, "extension", by)
	if t == fhir.Organization {
		includeSelf(a, suppressed, true)
	}
	return suppressed
}

// newInitiator returns the coding of an initiator.
func newInitiator(a *fastjson.Arena, code string) *fastjson.Value {
	coding := a.NewObject()
	coding.Set("system", a.NewString(ResponsibleParty))
	coding.Set("code", a.NewString(code))
	return coding
}

// includeSelf sets whether a suppression extension hides the organisation itself.
func includeSelf(a *fastjson.Arena, suppressed *fastjson.Value, hides bool) {
	removeItems(suppressed, "extension", func(part *fastjson.Value) bool { return string(part.GetStringBytes("url")) == "includeSelf" })
	self := a.NewObject()
	self.Set("url", a.NewString("includeSelf"))
	self.Set("valueBoolean", a.NewFalse())
	if hides {
		self.Set("valueBoolean", a.NewTrue())
	}
	appendItem(a, suppressed, "extension", self)
}

// appendItem appends to the array parent.name, which it creates if necessary.
func appendItem(a *fastjson.Arena, parent *fastjson.Value, name string, item *fastjson.Value) {
	list := parent.Get(name)
	if list == nil {
		list = a.NewArray()
		parent.Set(name, list)
	}
	list.SetArrayItem(len(list.GetArray()), item)
}

// Hide changes the stored resource v so that it has the flags of state: it adds a
// suppression, or makes the resource inactive. Clients with a copy receive the change in
// the next delta.
func Hide(a *fastjson.Arena, t fhir.Type, v *fastjson.Value, state index.Visibility) {
	missing := state &^ OwnState(t, v)
	if missing&index.Suppressed != 0 {
		carried := false
		for _, item := range v.GetArray("extension") {
			if IsSuppression(item.GetStringBytes("url")) {
				includeSelf(a, item, true)
				carried = true
			}
		}
		if !carried {
			addSuppression(a, t, v)
		}
	}
	if missing&index.Inactive != 0 {
		deactivate(a, t, v)
	}
}

// deactivated are the codes of status by which a resource says that it is not active. Other types
// have active.
var deactivated = map[fhir.Type]string{fhir.Location: "inactive", fhir.Endpoint: "off"}

// deactivate makes the active or status of a resource say that it is not active.
func deactivate(a *fastjson.Arena, t fhir.Type, v *fastjson.Value) {
	switch t {
	case fhir.Location, fhir.Endpoint:
		v.Set("status", a.NewString(deactivated[t]))
	case fhir.Organization, fhir.Practitioner, fhir.PractitionerRole, fhir.HealthcareService:
		v.Set("active", a.NewFalse())
	}
}

// saysDeactivated reports whether the active or status of a resource is what deactivate writes.
func saysDeactivated(t fhir.Type, v *fastjson.Value) bool {
	if code, ok := deactivated[t]; ok {
		return string(v.GetStringBytes("status")) == code
	}
	said := v.Get("active")
	return said != nil && said.Type() == fastjson.TypeFalse
}
