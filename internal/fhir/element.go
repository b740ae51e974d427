package fhir

import "strings"

// Element is a root element of a resource type, as R4 defines it.
type Element struct {
	Name     string // as in paths; of a choice without its type: "occurred"
	Choice   bool   // member names append the name of a type: occurredDateTime
	Summary  bool   // part of a summary
	Required bool   // has a minimum cardinality of 1
	Modifier bool   // may change the meaning of other elements
}

// HoldsMember reports whether a JSON member belongs to the element: the element itself, the
// extensions of its primitive value, and the forms of a choice.
func (e Element) HoldsMember(member string) bool {
	name, ok := strings.CutPrefix(strings.TrimPrefix(member, "_"), e.Name)
	return ok && (name == "" || e.Choice && 'A' <= name[0] && name[0] <= 'Z')
}

// elements lists the root elements of the types in R4 4.0.1. The signs after a name are:
// + in the summary, 1 required, ! modifier, * choice.
var elements = map[Type]string{
	Organization: "identifier+ active+! type+ name+ alias telecom address partOf+ contact endpoint",
	Location: "identifier+ status+! operationalStatus+ name+ alias description+ mode+ type+ telecom address physicalType+ " +
		"position managingOrganization+ partOf hoursOfOperation availabilityExceptions endpoint",
	Endpoint: "identifier+ status+1! connectionType+1 name+ managingOrganization+ contact period+ payloadType+1 payloadMimeType+ address+1 header",
	HealthcareService: "identifier+ active+! providedBy+ category+ type+ specialty+ location+ name+ comment+ extraDetails photo+ telecom " +
		"coverageArea serviceProvisionCode eligibility program characteristic communication referralMethod appointmentRequired " +
		"availableTime notAvailable availabilityExceptions endpoint",
	Practitioner: "identifier+ active+ name+ telecom+ address+ gender+ birthDate+ photo qualification communication",
	PractitionerRole: "identifier+ active+ period+ practitioner+ organization+ code+ specialty+ location+ healthcareService telecom+ " +
		"availableTime notAvailable availabilityExceptions endpoint",
	Provenance: "target+1 occurred* recorded+1 policy location reason activity agent1 entity+ signature",
}

// common lists the elements of every type. id and meta are part of every form of a resource.
const common = "id+1 meta+1 implicitRules+! language text contained extension modifierExtension!"

var parsedElements = func() map[Type][]Element {
	parsed := map[Type][]Element{}
	for t, text := range elements {
		for word := range strings.FieldsSeq(common + " " + text) {
			name := strings.TrimRight(word, "+1!*")
			signs := word[len(name):]
			parsed[t] = append(parsed[t], Element{
				Name: name, Choice: strings.Contains(signs, "*"), Summary: strings.Contains(signs, "+"),
				Required: strings.Contains(signs, "1"), Modifier: strings.Contains(signs, "!"),
			})
		}
	}
	return parsed
}()

// Elements returns the root elements of a type. The list is shared and must not be modified.
func Elements(t Type) []Element { return parsedElements[t] }
