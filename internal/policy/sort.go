package policy

import (
	"fmt"
	"strings"

	"muster/internal/conformance"
	"muster/internal/fhir"
)

// CheckSort refuses a value of _sort that names a parameter which is restricted for
// privacy: the order of an answer would tell what the answer does not (SR-30).
func CheckSort(reg *conformance.Registry, t fhir.Type, value string) fhir.Issues {
	var issues fhir.Issues
	for _, key := range strings.Split(value, ",") {
		p, ok := reg.Param(t, strings.TrimPrefix(key, "-"))
		if ok && p.Restricted != "" {
			issues = append(issues, fhir.Issue{Code: fhir.CodeNotSupported, Diagnostics: fmt.Sprintf("_sort=%s %s", key, refusal(t, p.Restricted))})
		}
	}
	return issues
}
