package rulestest

import (
	"slices"
	"strings"
)

// Base is the base URL of the directories of the model. References below it lead into the
// directory.
const Base = "http://directory.example/fhir"

// A parent is named by an element of its dependant.
type parent struct{ element, typ, initiator string }

// parents lists the elements by which resources depend on others.
var parents = map[string][]parent{
	"HealthcareService": {{"providedBy", "Organization", ByOrganisation}},
	"Location":          {{"managingOrganization", "Organization", ByOrganisation}},
	"PractitionerRole":  {{"organization", "Organization", ByOrganisation}, {"practitioner", "Practitioner", ByPractitioner}},
	"Endpoint":          {{"managingOrganization", "Organization", ByOrganisation}},
}

// inheritance is what a resource has from others.
type inheritance struct {
	State
	initiators []string // of the suppression, in the order of the documents
}

// inherited returns what a resource has from the resources that it depends on.
func (w World) inherited(n Name) inheritance {
	var i inheritance
	own, _ := w.last(n)
	for _, p := range parents[n.Type] {
		to, ok := target(own[p.element])
		if !ok || to.Type != p.typ {
			continue
		}
		of, ok := w.last(to)
		if !ok {
			continue // it never arrived, so it has not asked for anything
		}
		i.Inactive = i.Inactive || StateOf(of).Inactive
		if suppression(of) != nil { // includeSelf does not matter to others
			i.Suppressed = true
			i.initiators = append(i.initiators, p.initiator)
		}
	}
	if n.Type == "Endpoint" {
		i.fromReferrers(w.referrers(n))
	}
	return i
}

// fromReferrers hides an Endpoint if all that refers to it is hidden: as suppressed if any of it
// is suppressed, as inactive if any of it is inactive.
func (i *inheritance) fromReferrers(referrers []State) {
	var any State
	for _, r := range referrers {
		if !r.Hidden() {
			return
		}
		any = any.or(r)
	}
	if any.Suppressed && !i.Suppressed {
		i.initiators = []string{ByOrganisation}
	}
	i.State = i.or(any)
}

// referrers returns the states of the resources that refer to an Endpoint. A removed one counts
// while it is hidden: its removal must not show what it hid, and must not keep visible what only
// hidden resources refer to.
func (w World) referrers(n Name) (states []State) {
	for from, document := range w.Present {
		if refersTo(from, document, n) {
			states = append(states, w.state(from))
		}
	}
	for from, document := range w.Gone {
		if !refersTo(from, document, n) {
			continue
		}
		if state := w.state(from); state.Hidden() {
			states = append(states, state)
		}
	}
	return states
}

// refersTo reports whether a resource has an Endpoint.
func refersTo(from Name, document Object, endpoint Name) bool {
	if from.Type != "HealthcareService" && from.Type != "Location" && from.Type != "PractitionerRole" {
		return false
	}
	list, _ := document["endpoint"].([]any)
	return slices.ContainsFunc(list, func(reference any) bool {
		to, ok := target(reference)
		return ok && to == endpoint
	})
}

// state returns the state of a resource by its own document and by what it depends on.
func (w World) state(n Name) State {
	own, _ := w.last(n)
	return StateOf(own).or(w.inherited(n).State)
}

// target returns the resource of the directory to which a reference leads.
func target(reference any) (Name, bool) {
	o, _ := reference.(Object)
	relative := strings.TrimPrefix(text(o["reference"]), Base+"/")
	relative, _, _ = strings.Cut(relative, "/_history/")
	return ParseName(relative)
}
