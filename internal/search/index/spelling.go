package index

import (
	"strings"

	"muster/internal/conformance"
)

// spellings are the rules that definitions name in "spelling". Each normalises the codes or
// uris of a parameter, and is idempotent.
var spellings = map[string]func(string) string{
	"ignoreCase": strings.ToLower,
	"lostPlus":   lostPlus,
	"billing":    billing,
	"profile":    Profile,
}

// Spell returns the code or uri of a query in the form in which entries of the parameter
// hold it. Parameters without a spelling do not change it.
func Spell(p conformance.Param, text string) string {
	if rule, ok := spellings[p.Spelling]; ok {
		return rule(text)
	}
	return text
}

// lostPlus restores the plus signs that a form decoder has turned into spaces:
// application/fhir+json. Media types contain no spaces.
func lostPlus(code string) string { return strings.ReplaceAll(code, " ", "+") }

// billing renames the only code of the guide's service provision that changed with the code
// system: bulk billed was BBO and is now BB.
func billing(code string) string {
	if renamed, ok := conformance.NewCode("http://terminology.hl7.org.au/CodeSystem/service-provision-conditions", code); ok {
		return renamed.Code
	}
	return code
}

// Profile removes the version of a canonical and renames profiles of 0.3.0 to those of
// 26.0.0.
func Profile(canonical string) string {
	canonical, _, _ = strings.Cut(canonical, "|")
	return conformance.CanonicalName(canonical)
}
