package rulestest

import "slices"

// withInherited returns the document that is served of a resource: the own one, in which the
// elements of the state say what the resource has inherited.
func withInherited(own Object, i inheritance) Object {
	if !i.Hidden() {
		return own
	}
	shown := clone(own)
	if i.Inactive {
		shown[stateElement(own)] = inactiveValue(text(own["resourceType"]))
	}
	for _, initiator := range i.initiators {
		addInitiator(shown, initiator)
	}
	return shown
}

// inactiveValue returns the value of the active or status of a resource that inherits that it is
// inactive.
func inactiveValue(typ string) any {
	switch typ {
	case "Location":
		return "inactive"
	case "Endpoint":
		return "off"
	}
	return false
}

// addInitiator suppresses a document for an initiator. A suppression that it has stays.
func addInitiator(document Object, initiator string) {
	if slices.Contains(Initiators(document), initiator) {
		return
	}
	coding := Object{"system": responsibleParty, "code": initiator}
	if extension := suppression(document); extension != nil {
		concept := part(extension, "suppressedBy")["valueCodeableConcept"].(Object)
		concept["coding"] = append(concept["coding"].([]any), coding)
		return
	}
	list, _ := document["extension"].([]any)
	document["extension"] = append(list, newSuppression(initiator))
}

// newSuppression returns the extension that suppresses a resource.
func newSuppression(initiators ...string) Object {
	var codings []any
	for _, initiator := range initiators {
		codings = append(codings, Object{"system": responsibleParty, "code": initiator})
	}
	by := Object{"url": "suppressedBy", "valueCodeableConcept": Object{"coding": codings}}
	return Object{"url": suppressedURL, "extension": []any{by}}
}

// normalised returns the own document of a source: what a directory stores of it when nothing is
// inherited. The suppression of an Organization always states if it includes the organisation
// itself, and references into the directory are relative.
func normalised(source Object) Object {
	own := clone(source)
	if extension := suppression(own); extension != nil && own["resourceType"] == "Organization" && part(extension, "includeSelf") == nil {
		extension["extension"] = append(extension["extension"].([]any), Object{"url": "includeSelf", "valueBoolean": true})
	}
	relate(own)
	return own
}

// relate makes the references of an element relative.
func relate(element any) {
	switch e := element.(type) {
	case Object:
		if reference := text(e["reference"]); len(reference) > len(Base) && reference[:len(Base)+1] == Base+"/" {
			e["reference"] = reference[len(Base)+1:]
		}
		for _, member := range e {
			relate(member)
		}
	case []any:
		for _, item := range e {
			relate(item)
		}
	}
}
