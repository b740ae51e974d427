package index

import (
	"strings"

	"muster/internal/conformance"
)

const snomed = "http://snomed.info/sct"

// System returns the name of a system that entries hold: one of its names for a system with
// several (definitions/names.json). SNOMED CT may have the uri of an edition or of a
// version of one, such as http://snomed.info/sct/32506021000036107/version/20260131. Its
// codes mean the same in all of them, so entries and queries use http://snomed.info/sct.
func System(s string) string {
	if strings.HasPrefix(s, snomed+"/") {
		return snomed
	}
	return conformance.SystemName(s)
}
