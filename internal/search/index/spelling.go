package index

import (
	"strings"

	"muster/internal/conformance"
)

// spellings are the rules that definitions name in "spelling": they bring the codes
// or uris of one parameter to the form that its entries hold. Doing so twice changes
// nothing.
var spellings = map[string]func(string) string{
	"ignoreCase": strings.ToLower,
	"lostPlus":   lostPlus,
	"billing":    billing,
	"profile":    Profile,
}

// Spell brings a code or uri that somebody asks for to the form in which entries of
// the parameter hold it. Only parameters with a rule of their own change it.
func Spell(p conformance.Param, text string) string {
	if rule, ok := spellings[p.Spelling]; ok {
		return rule(text)
	}
	return text
}

// lostPlus puts the plus signs back that a form decoder has made spaces:
// application/fhir+json. In a media type a space never tells two apart.
func lostPlus(code string) string { return strings.ReplaceAll(code, " ", "+") }

// billing names the one code of the guide's service provision that changed its name
// when the code system changed: bulk billed was BBO and is BB. The other codes kept
// theirs.
func billing(code string) string {
	if code == "BBO" {
		return "BB"
	}
	return code
}

// The canonicals of profiles in 0.3.0 differ from those of 26.0.0 in this prefix.
const (
	oldProfiles = "http://digitalhealth.gov.au/fhir/hcpd/StructureDefinition/hc-"
	newProfiles = "http://digitalhealth.gov.au/fhir/hcpd/StructureDefinition/hcpd-"
)

// Profile drops the version of a canonical and names a profile of 0.3.0 as in 26.0.0.
func Profile(canonical string) string {
	canonical, _, _ = strings.Cut(canonical, "|")
	if name, old := strings.CutPrefix(canonical, oldProfiles); old {
		return newProfiles + name
	}
	return canonical
}
