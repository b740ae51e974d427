package policy

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
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
	// fragments are parts of URLs, in small letters, that no other URL has. What has one in
	// a member is removed wherever it stands, in every type: an extension, an identifier
	// of a PractitionerRole, of a reference or of an extension.
	fragments []string
	// typeCode recognises an Identifier by the code of its type, and typeText by its text,
	// in small letters.
	typeCode, typeText string

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
	{name: "date of birth", elements: []string{"birthDate"}, fragments: []string{"/structuredefinition/patient-birthtime"}},
	{name: "photo", elements: []string{"photo"}},
	{
		name: "address", elements: []string{"address"}, params: []string{"address", "address-"},
		wayOut: "search PractitionerRole by location.address-city, location.address-state or location.address-postalcode",
	},
	{
		name: "gender identity", params: []string{"gender-identity"}, wayOut: "leave it out: gender identity is not part of the directory",
		fragments: []string{
			"/structuredefinition/individual-genderidentity", "/structuredefinition/patient-genderidentity", "/structuredefinition/gender-identity",
			"/structuredefinition/extension-individual.genderidentity",
		},
	},
	{
		name: "Medicare prescriber number", fragments: []string{"medicare-prescriber-number"},
		typeCode: "PRES", typeText: "prescriber", // the code is of v2-0203
		wayOut: "search by HPI-I",
	},
}

// stripping is the version of the code that applies the table. Raise it when the same
// table removes more than before.
const stripping = 2

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

// isHeldElement reports whether the table has an element of the name, in whatever letters.
func isHeldElement(name []byte) bool {
	for _, f := range notHeld {
		if slices.ContainsFunc(f.elements, func(element string) bool {
			return len(element) == len(name) && strings.EqualFold(element, string(name))
		}) {
			return true
		}
	}
	return false
}

// heldText returns the fact that a text tells by a URL in it; nil if none. It is wide, so
// that no way of writing a URL passes.
func heldText(text []byte) *fact {
	for n := range notHeld {
		for _, fragment := range notHeld[n].fragments {
			if containsFold(text, fragment) {
				return &notHeld[n]
			}
		}
	}
	return nil
}

// heldType returns the fact that an identifier states whose type has the code or the
// text; nil if none. The system of the type makes no difference.
func heldType(code, text []byte) *fact {
	for n := range notHeld {
		f := &notHeld[n]
		if f.typeCode != "" && (strings.EqualFold(string(code), f.typeCode) || strings.EqualFold(string(text), f.typeCode) || containsFold(text, f.typeText)) {
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

// containsFold reports whether a text has a word in it, in whatever case. The word is in
// small letters.
func containsFold(text []byte, word string) bool { return indexFold(text, word) >= 0 }

// indexFold returns where a word in small letters begins in a text, in whatever case;
// -1 if it is not there.
func indexFold(text []byte, word string) int {
	for i := 0; i+len(word) <= len(text); i++ {
		if small(text[i]) == word[0] && beginsFold(text[i:], word) {
			return i
		}
	}
	return -1
}

// beginsFold reports whether a text, which is long enough, begins with a word in small
// letters, in whatever case.
func beginsFold(text []byte, word string) bool {
	for i := range len(word) {
		if small(text[i]) != word[i] {
			return false
		}
	}
	return true
}

// small returns a letter of ASCII as a small one, and other bytes as they are.
func small(b byte) byte {
	if 'A' <= b && b <= 'Z' {
		return b | 0x20
	}
	return b
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
