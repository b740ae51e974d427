package policy

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"muster/internal/fhir"
)

// fact is a fact about a person that a directory may neither hold nor be searched by
// (ST-01, SR-30). RulesVersion hashes the names of the fields too: renaming one requires a
// reindex of every directory.
type fact struct {
	name string // for people

	// elements are members of a resource about a person (see [aboutPerson]). Each includes
	// the sibling with its extensions, such as _gender.
	elements []string
	// fragments are parts of URLs in lower case that no other URL contains. An object with
	// such a URL is removed anywhere in a resource of any type: an extension, an
	// identifier of a PractitionerRole, of a reference or of an extension.
	fragments []string
	// An Identifier states the fact if its type has the code typeCode, or if the text of
	// its type contains typeText. Both are compared without regard to case.
	typeCode, typeText string

	// params are the search parameters of a person that search by the fact. One that ends
	// with a hyphen is a prefix. Parameters that take an identifier are refused by value.
	params []string
	wayOut string // what to do instead
}

// notHeld is the table of facts that a directory may not hold: [Strip] removes them, and
// searches by them are refused. It applies to practitioners: a Location keeps its address,
// a HealthcareService its photo.
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

// stripping is the version of the code that applies the table. Increment it when the code
// removes more than before by the same table.
const stripping = 2

// RulesVersion returns 16 hexadecimal digits that identify what [Strip] removes. A directory
// that was written under another version may hold what this version removes, so it cannot
// be opened until it is reindexed.
func RulesVersion() string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%d %+v", stripping, notHeld))
	return hex.EncodeToString(sum[:8])
}

// aboutPerson reports whether resources of the type describe a person. Contained resources
// of a type outside the directory (0) may.
func aboutPerson(t fhir.Type) bool {
	return t == 0 || t == fhir.Practitioner || t == fhir.PractitionerRole
}

// isHeldElement reports whether the table has an element of the name, without regard to
// case.
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

// heldText returns the fact that a URL in the text identifies, nil if there is none. It
// matches widely, so that no spelling of a URL escapes it.
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

// heldType returns the fact that an identifier states by the code or text of its type, nil
// if there is none. It ignores the system of the type.
func heldType(code, text []byte) *fact {
	for n := range notHeld {
		f := &notHeld[n]
		if f.typeCode != "" && (strings.EqualFold(string(code), f.typeCode) || strings.EqualFold(string(text), f.typeCode) || containsFold(text, f.typeText)) {
			return f
		}
	}
	return nil
}

// heldParam returns the fact that a search parameter of a person searches by, nil if there
// is none.
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

// containsFold reports whether a text contains a lower-case word, without regard to case.
func containsFold(text []byte, word string) bool { return indexFold(text, word) >= 0 }

// indexFold returns the offset of a lower-case word in a text, without regard to case, or
// -1.
func indexFold(text []byte, word string) int {
	for i := 0; i+len(word) <= len(text); i++ {
		if lower(text[i]) == word[0] && beginsFold(text[i:], word) {
			return i
		}
	}
	return -1
}

// beginsFold reports whether a text begins with a lower-case word, without regard to case.
// The text must not be shorter than the word.
func beginsFold(text []byte, word string) bool {
	for i := range len(word) {
		if lower(text[i]) != word[i] {
			return false
		}
	}
	return true
}

// lower returns an ASCII letter in lower case, and any other byte unchanged.
func lower(b byte) byte {
	if 'A' <= b && b <= 'Z' {
		return b | 0x20
	}
	return b
}

// sameURL reports whether a URL of a source means the URL want. It ignores case, the
// difference between http and https, slashes and white space at the ends, and a version
// after a bar, so that a rule about privacy does not depend on them.
func sameURL(got []byte, want string) bool {
	if string(got) == want {
		return true
	}
	if len(got) < len(want)-1 || len(got) > len(want)+100 {
		return false // most URLs: this runs for every extension
	}
	text := strings.TrimSpace(string(got))
	text, _, _ = strings.Cut(text, "|")
	text = strings.TrimRight(strings.TrimSpace(text), "/")
	if len(text) > 8 && strings.EqualFold(text[:8], "https://") {
		text = "http://" + text[8:]
	}
	return strings.EqualFold(text, want)
}
