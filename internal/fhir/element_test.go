package fhir

import "testing"

func TestElements(t *testing.T) {
	for _, rt := range Types() {
		names := map[string]Element{}
		for _, e := range Elements(rt) {
			if _, twice := names[e.Name]; twice || e.Name == "" {
				t.Errorf("%v: the element %q is listed twice or has no name", rt, e.Name)
			}
			names[e.Name] = e
		}
		for _, name := range []string{"id", "meta"} {
			if !names[name].Required {
				t.Errorf("%v: %s is not in every form", rt, name)
			}
		}
		if names["text"].Summary || !names["implicitRules"].Modifier {
			t.Errorf("%v: the common elements are %+v", rt, names)
		}
	}
	occurred := Element{Name: "occurred", Choice: true}
	name := Element{Name: "name"}
	for _, c := range []struct {
		element Element
		member  string
		want    bool
	}{
		{occurred, "occurredDateTime", true}, {occurred, "_occurredDateTime", true}, {occurred, "occurredX", true}, {occurred, "occurredness", false},
		{name, "name", true}, {name, "_name", true}, {name, "nameUse", false}, {name, "nam", false}, {name, "__name", false},
	} {
		if got := c.element.HoldsMember(c.member); got != c.want {
			t.Errorf("%s holds %s: %v, want %v", c.element.Name, c.member, got, c.want)
		}
	}
}
