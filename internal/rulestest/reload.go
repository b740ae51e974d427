package rulestest

// Reload returns a change that loads a line which the directory itself has served: of the last
// version of a resource (back is 1) that an export after a step had, or of an earlier one. It is a
// step of its own. It changes nothing if there is no such version.
func Reload(n Name, back int) Change { return Change{Name: n, Reloaded: back} }

// keepServed keeps what the last step has written, as an export after it serves it.
func (h *History) keepServed() {
	if h.served == nil {
		h.served = map[Name][]Resource{}
	}
	for n := range h.changed[len(h.changed)-1] {
		if r, present := h.View[n]; present {
			h.served[n] = append(h.served[n], r)
		}
	}
}

// reload returns the changes that a line makes which the directory has served, none or one:
//
//   - A line that shows no state which the resource may have inherited is a source like others.
//   - The line of the present version changes nothing.
//   - Any other line is refused. It hides the resource by what its version did not have from others
//     alone, if the resource does not have that state anyway.
func (h *History) reload(c Change) []Change {
	served := h.served[c.Name]
	if c.Reloaded > len(served) {
		return nil
	}
	line := served[len(served)-c.Reloaded]
	shown := mayInherit(line.Document)
	if !shown.Hidden() {
		return []Change{Put(line.Document)}
	}
	own, present := h.World.Present[c.Name]
	if !present || c.Reloaded == 1 {
		return nil
	}
	fromOthers := line.State.without(StateOf(line.Own))
	hides := shown.without(fromOthers).without(h.View[c.Name].State)
	if !hides.Hidden() {
		return nil
	}
	if h.rewrote == nil {
		h.rewrote = map[Name]bool{}
	}
	h.rewrote[c.Name] = true
	return []Change{Put(hidden(own, hides))}
}

// Rewrote reports whether a reload has hidden a resource. The directory has written a document of it
// then that its source may write too, with members in another order.
func (h *History) Rewrote(n Name) bool { return h.rewrote[n] }

// mayInherit returns the state that a document shows as one that is inherited: it refers to a
// parent, or is an Endpoint, and its active or status says what an inherited state says.
func mayInherit(document Object) State {
	typ := text(document["resourceType"])
	depends := typ == "Endpoint"
	for _, p := range parents[typ] {
		reference, _ := document[p.element].(Object)
		depends = depends || text(reference["reference"]) != ""
	}
	if !depends {
		return State{}
	}
	shown := StateOf(document)
	element := stateElement(document)
	shown.Inactive = document[element] == inactiveValue(typ)
	return shown
}

// hidden returns the document with a state that it does not have.
func hidden(document Object, s State) Object {
	document = clone(document)
	typ := text(document["resourceType"])
	if s.Suppressed {
		initiator := ByOrganisation
		if typ == "PractitionerRole" {
			initiator = ByPractitioner
		}
		addInitiator(document, initiator)
	}
	if s.Inactive {
		document[stateElement(document)] = inactiveValue(typ)
	}
	return document
}
