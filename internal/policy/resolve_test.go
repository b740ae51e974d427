package policy

import (
	"testing"
)

// TestResolve: a name with a dot is one name where the definitions say so, at any
// step, and a chain everywhere else.
func TestResolve(t *testing.T) {
	reg := registry(t)
	for text, want := range map[string]string{
		"Provenance?agent.who=Organization/12345":             "Provenance?agent=Organization/12345",
		"Provenance?agent.who:missing=true":                   "Provenance?agent:missing=true",
		"Provenance?agent.who.name=a":                         "Provenance?agent.name=a",
		"Provenance?agent.who:Organization.name=a":            "Provenance?agent:Organization.name=a",
		"Provenance?agent.name=a":                             "Provenance?agent.name=a",
		"Provenance?agent:Organization.who=a":                 "Provenance?agent:Organization.who=a",
		"Organization?_has:Provenance:target:agent.who=a":     "Organization?_has:Provenance:target:agent=a",
		"Location?_has:Provenance:entity:agent.who.name=a":    "Location?_has:Provenance:entity:agent.name=a",
		"PractitionerRole?agent.who=a":                        "PractitionerRole?agent.who=a",
		"Provenance?entity:Provenance.agent.who=a&recorded=1": "Provenance?entity:Provenance.agent=a&recorded=1",
		"HealthcareService?type=a":                            "HealthcareService?type=a",
		"Location?_has:Nothing:x:agent.who=a":                 "Location?_has:Nothing:x:agent.who=a",
	} {
		before := read(t, text)
		once := Resolve(reg, before)
		if got := once.String(); got != want {
			t.Errorf("%s becomes %s, want %s", text, got, want)
		}
		if again := Resolve(reg, once).String(); again != want {
			t.Errorf("%s becomes %s the second time", want, again)
		}
		if before.String() != text {
			t.Errorf("the question itself was changed to %s", before)
		}
	}
	issues := Check(reg, Resolve(reg, read(t, "Provenance?agent.who=a,")))
	if len(issues) != 1 || issues[0].Diagnostics != `"agent.who=a," at character 12 has an empty value: give it one, or leave the comma or the parameter out` {
		t.Errorf("a problem behind the alias is told as %v", issues)
	}
}
