package rulestest

import (
	"bytes"
	"encoding/json"
	"strings"
)

// Object is a JSON object, as package encoding/json decodes it.
type Object = map[string]any

// Name identifies a resource.
type Name struct{ Type, ID string }

func (n Name) String() string { return n.Type + "/" + n.ID }

// ParseName reads Type/id.
func ParseName(text string) (Name, bool) {
	typ, id, ok := strings.Cut(text, "/")
	return Name{typ, id}, ok && typ != "" && id != "" && !strings.Contains(id, "/")
}

// NameOf returns the name of a resource.
func NameOf(document Object) Name { return Name{text(document["resourceType"]), text(document["id"])} }

// Types are the types of a directory, in loading order.
var Types = []string{"Organization", "Location", "Endpoint", "HealthcareService", "Practitioner", "PractitionerRole", "Provenance"}

// State says why a resource is hidden.
type State struct{ Inactive, Suppressed bool }

// Hidden reports whether the state hides a resource.
func (s State) Hidden() bool { return s.Inactive || s.Suppressed }

func (s State) or(t State) State {
	return State{s.Inactive || t.Inactive, s.Suppressed || t.Suppressed}
}

// without returns what t does not say.
func (s State) without(t State) State {
	return State{s.Inactive && !t.Inactive, s.Suppressed && !t.Suppressed}
}

// The initiators of a suppression.
const (
	ByOrganisation = "organisation-initiated"
	ByPractitioner = "practitioner-initiated"
)

const (
	suppressedURL    = "http://digitalhealth.gov.au/fhir/cc/StructureDefinition/suppressed"
	responsibleParty = "http://digitalhealth.gov.au/fhir/cc/CodeSystem/responsible-party-type"
)

// StateOf returns the state that a document shows: that of its active or status, where an absent
// one means active, and that of its suppression.
func StateOf(document Object) State {
	s := State{Inactive: document["active"] == false}
	if status, ok := document["status"]; ok && stateElement(document) == "status" {
		s.Inactive = status != "active"
	}
	// An organisation may suppress what belongs to it without itself.
	extension := suppression(document)
	s.Suppressed = extension != nil && part(extension, "includeSelf")["valueBoolean"] != false
	return s
}

// stateElement returns the element that states whether a resource is active; it is empty for a
// Provenance.
func stateElement(document Object) string {
	switch text(document["resourceType"]) {
	case "Location", "Endpoint":
		return "status"
	case "Provenance":
		return ""
	}
	return "active"
}

// suppression returns the extension that suppresses a resource, nil if there is none.
func suppression(document Object) Object { return item(document["extension"], suppressedURL) }

// part returns a part of a complex extension, nil if it has none of the name.
func part(extension Object, url string) Object { return item(extension["extension"], url) }

// item returns the extension with a URL.
func item(list any, url string) Object {
	items, _ := list.([]any)
	for _, i := range items {
		if o, ok := i.(Object); ok && o["url"] == url {
			return o
		}
	}
	return nil
}

// Initiators returns the codes of the initiators of a resource's suppression, in their order.
func Initiators(document Object) (codes []string) {
	concept, _ := part(suppression(document), "suppressedBy")["valueCodeableConcept"].(Object)
	codings, _ := concept["coding"].([]any)
	for _, c := range codings {
		coding, _ := c.(Object)
		codes = append(codes, text(coding["code"]))
	}
	return codes
}

func text(v any) string {
	s, _ := v.(string)
	return s
}

// clone returns a deep copy of a document.
func clone(document Object) Object {
	line, err := json.Marshal(document)
	if err != nil {
		panic(err) // documents come from JSON
	}
	return parse(line)
}

// parse reads a JSON object. Numbers keep their text.
func parse(line []byte) Object {
	o, err := Parse(line)
	if err != nil {
		panic(err) // callers pass JSON
	}
	return o
}

// Parse reads a JSON object as the model keeps it: numbers are json.Number.
func Parse(line []byte) (o Object, err error) {
	d := json.NewDecoder(bytes.NewReader(line))
	d.UseNumber()
	return o, d.Decode(&o)
}
