package fhir

import "testing"

// The right values are samples of the guide.
func TestIdentifiers(t *testing.T) {
	for _, c := range []struct{ prefix, value, want string }{
		{"800362", "8003626566707032", ""},
		{"800361", "8003619900015717", ""},
		{"800361", "8003616566719020", ""},
		{"800364", "8003641000000209", ""},
		{"800361", "8003619900015718", "check digit"},
		{"800361", "8003619900051717", "check digit"},
		{"800361", "8003626566707032", "does not start with 800361"},
		{"800361", "800361990001571", "not sixteen digits"},
		{"800361", "80036199000157171", "not sixteen digits"},
		{"800361", "800361990001571x", "not sixteen digits"},
		{"800361", "", "not sixteen digits"},
	} {
		if got := CheckHealthcareIdentifier(c.value, c.prefix); got != c.want {
			t.Errorf("%s as %s…: %q, want %q", c.value, c.prefix, got, c.want)
		}
	}
	for value, ok := range map[string]bool{
		"MED0000932945": true, "MED000093294": false, "MED00009329450": false, "med0000932945": false, "ME00000932945": false, "": false, "MED000093294x": false,
	} {
		if got := CheckAhpraNumber(value); (got == "") != ok {
			t.Errorf("%q: %q, want right is %v", value, got, ok)
		}
	}
}
