package report

import (
	"strings"

	"muster/internal/fhir"
)

// rule checks the identifiers of one system.
type rule struct {
	name, system string
	check        func(value string) string // returns what is wrong with a value, or ""
}

// rules lists the identifiers that can be checked. The check digits of ABN, ACN and Medicare
// provider numbers are not rules of the guide.
var rules = []rule{
	{"HPI-O", "http://ns.electronichealth.net.au/id/hi/hpio/1.0", healthcareIdentifier("800362")},
	{"HSP-O", "http://ns.electronichealth.net.au/id/hi/hspo/1.0", healthcareIdentifier("800364")},
	{"HPI-I", "http://ns.electronichealth.net.au/id/hi/hpii/1.0", healthcareIdentifier("800361")},
	{"Ahpra registration", "http://hl7.org.au/id/ahpra-registration-number", fhir.CheckAhpraNumber},
	{"ABN", "http://hl7.org.au/id/abn", abn},
	{"ACN", "http://hl7.org.au/id/acn", acn},
	{"Medicare provider number", "http://ns.electronichealth.net.au/id/medicare-provider-number", medicare},
}

const wrongCheckDigit = "check digit"

func healthcareIdentifier(prefix string) func(string) string {
	return func(value string) string { return fhir.CheckHealthcareIdentifier(value, prefix) }
}

func digits(value string) bool { return strings.Trim(value, "0123456789") == "" }

// sum returns the weighted sum of digits.
func sum(value string, weights ...int) (total int) {
	for i, w := range weights {
		total += int(value[i]-'0') * w
	}
	return total
}

func abn(value string) string {
	switch {
	case len(value) != 11 || !digits(value):
		return "not eleven digits"
	case (sum(value, 10, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19)-10)%89 != 0:
		return wrongCheckDigit
	}
	return ""
}

func acn(value string) string {
	switch {
	case len(value) != 9 || !digits(value):
		return "not nine digits"
	case (10-sum(value, 8, 7, 6, 5, 4, 3, 2, 1)%10)%10 != int(value[8]-'0'):
		return wrongCheckDigit
	}
	return ""
}

func medicare(value string) string {
	const places, checks = "0123456789ABCDEFGHJKLMNPQRTUVWXY", "YXWTLKJHFBA"
	if len(value) != 8 || !digits(value[:6]) || strings.IndexByte(places, value[6]) < 0 {
		return "not six digits and two characters"
	}
	if checks[(sum(value, 3, 5, 8, 4, 2, 1)+6*strings.IndexByte(places, value[6]))%11] != value[7] {
		return wrongCheckDigit
	}
	return ""
}
