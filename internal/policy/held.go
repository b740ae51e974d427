package policy

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"muster/internal/fhir"
)

// fact is something about a person that a directory may neither hold nor be searched
// by (ST-01, SR-30). The fields say where it is found.
type fact struct {
	name string // for people

	// elements are members of a resource about a person (see [aboutPerson]), each with
	// the sibling that holds its extensions, such as _gender.
	elements []string
	// extensions are URLs. They are removed wherever they stand, in every type.
	extensions []string
	// system and typeCode recognise an Identifier. Identifiers are removed wherever they
	// stand, in every type: a PractitionerRole, a reference and an extension have them too.
	system, typeCode string

	// params are the search parameters of a person that would ask for the fact. One that
	// ends in a hyphen stands for all that begin with it. Parameters that take an
	// identifier are refused by their value.
	params []string
	wayOut string // what to search by instead
}

// notHeld is the one table of what a directory may not hold: [Strip] removes it, and
// searches for it are refused (restriction). It concerns practitioners: an address of
// a Location and a photo of a HealthcareService stay.
var notHeld = []fact{
	{name: "gender", elements: []string{"gender"}, params: []string{"gender"}, wayOut: "use rsg (recorded sex or gender)"},
	{name: "date of birth", elements: []string{"birthDate"}},
	{name: "photo", elements: []string{"photo"}},
	{
		name: "address", elements: []string{"address"}, params: []string{"address", "address-"},
		wayOut: "search PractitionerRole by location.address-city, location.address-state or location.address-postalcode",
	},
	{
		name: "gender identity", params: []string{"gender-identity"}, wayOut: "leave it out: gender identity is not part of the directory",
		extensions: []string{
			"http://hl7.org/fhir/StructureDefinition/individual-genderIdentity",
			"http://hl7.org/fhir/StructureDefinition/patient-genderIdentity",
		},
	},
	{
		name:   "Medicare prescriber number",
		system: "http://ns.electronichealth.net.au/id/medicare-prescriber-number", typeCode: "PRES", // of v2-0203
		wayOut: "search by HPI-I",
	},
}

// stripping is the version of the code that applies the table. Raise it when the same
// table removes more than before.
const stripping = 1

// RulesVersion identifies what [Strip] removes, as 16 hexadecimal digits. A directory
// that was written by other rules may hold what these remove, so it is refused until
// it has been reindexed.
func RulesVersion() string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%d %+v", stripping, notHeld))
	return hex.EncodeToString(sum[:8])
}

// aboutPerson reports whether resources of the type, or contained ones of a type that
// the directory does not know (0), describe a person.
func aboutPerson(t fhir.Type) bool {
	return t == 0 || t == fhir.Practitioner || t == fhir.PractitionerRole
}

// heldExtension returns the fact that an extension with the URL states, nil if none.
func heldExtension(url []byte) *fact {
	for n := range notHeld {
		for _, u := range notHeld[n].extensions {
			if sameURL(url, u) {
				return &notHeld[n]
			}
		}
	}
	return nil
}

// heldIdentifier returns the fact that an identifier of a system, or one whose type
// has a code, states; nil if none. It is wide, so that no way of writing one passes:
// the system of the type makes no difference.
func heldIdentifier(system, typeCode []byte) *fact {
	for n := range notHeld {
		f := &notHeld[n]
		if f.system == "" {
			continue
		}
		if sameURL(system, f.system) || strings.EqualFold(string(typeCode), f.typeCode) {
			return f
		}
	}
	return nil
}

// heldParam returns the fact that a search parameter of a person asks for, nil if none.
func heldParam(name string) *fact {
	for n := range notHeld {
		for _, p := range notHeld[n].params {
			if name == p || strings.HasSuffix(p, "-") && strings.HasPrefix(name, p) {
				return &notHeld[n]
			}
		}
	}
	return nil
}

// containsURL reports whether a text has a URL in it, but for its scheme, in whatever
// case.
func containsURL(text []byte, url string) bool {
	_, name, _ := strings.Cut(url, "://")
	for i := 0; i+len(name) <= len(text); i++ {
		if text[i]|0x20 == name[0] && strings.EqualFold(string(text[i:i+len(name)]), name) {
			return true
		}
	}
	return false
}

// sameURL reports whether a URL of a source names the same thing as want. Case, http
// or https, slashes and white space at the ends, and a version behind a bar make no
// difference: what a rule about privacy recognises must not hang on them.
func sameURL(got []byte, want string) bool {
	if string(got) == want {
		return true
	}
	if len(got) < len(want)-1 || len(got) > len(want)+100 {
		return false // it is about every extension: most end here
	}
	text := strings.TrimSpace(string(got))
	text, _, _ = strings.Cut(text, "|")
	text = strings.TrimRight(strings.TrimSpace(text), "/")
	if len(text) > 8 && strings.EqualFold(text[:8], "https://") {
		text = "http://" + text[8:]
	}
	return strings.EqualFold(text, want)
}
