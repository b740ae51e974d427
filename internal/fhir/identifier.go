package fhir

import "strings"

// CheckHealthcareIdentifier returns what is wrong with a number of the Healthcare
// Identifiers Service, or "". A valid number has sixteen digits, the prefix of its kind,
// and a Luhn sum of 0 modulo 10 (inv-hpii-0..2, inv-hpio-0..2, inv-hspo-0..2). The result
// does not repeat the number.
func CheckHealthcareIdentifier(value, prefix string) string {
	switch {
	case len(value) != 16 || !onlyDigits(value):
		return "not sixteen digits"
	case !strings.HasPrefix(value, prefix):
		return "does not start with " + prefix
	}
	sum := 0
	for i := range len(value) {
		d := int(value[i] - '0')
		if i%2 == 0 {
			if d *= 2; d > 9 {
				d -= 9
			}
		}
		sum += d
	}
	if sum%10 != 0 {
		return "check digit"
	}
	return ""
}

// CheckAhpraNumber returns what is wrong with an Ahpra registration number, or ""
// (inv-ahpra-0). The result does not repeat the number.
func CheckAhpraNumber(value string) string {
	if len(value) != 13 || !onlyDigits(value[3:]) || strings.Trim(value[:3], "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
		return "not three letters and ten digits"
	}
	return ""
}

func onlyDigits(s string) bool { return strings.Trim(s, "0123456789") == "" }
