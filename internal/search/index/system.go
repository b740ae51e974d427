package index

import (
	"strings"

	"muster/internal/conformance"
)

const snomed = "http://snomed.info/sct"

// System brings the system of a token to the form that entries hold: systems with
// several names to one of them (definitions/systems.json). SNOMED CT may be named by the uri of an edition or of a version of one, such as
// http://snomed.info/sct/32506021000036107/version/20260131; its codes mean the
// same in all of them, so entries and queries use http://snomed.info/sct.
func System(s string) string {
	if strings.HasPrefix(s, snomed+"/") {
		return snomed
	}
	return conformance.SystemName(s)
}
