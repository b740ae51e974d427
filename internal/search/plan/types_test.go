package plan

import (
	"slices"
	"testing"

	"muster/internal/fhir"
)

// TestTypes checks that the types behind each kind of link are found, each once.
func TestTypes(t *testing.T) {
	p := Plan{Type: fhir.Location, Root: And{
		Visible{}, IDs{"x"},
		Or{Has{Type: fhir.PractitionerRole, Node: Chain{Type: fhir.Practitioner, Node: Visible{}}}},
		Not{Node: Chain{Type: fhir.Location, Node: IDs{"y"}}},
		AllVisible{Types: []fhir.Type{fhir.Organization, fhir.Practitioner}},
	}}
	want := []fhir.Type{fhir.Location, fhir.PractitionerRole, fhir.Practitioner, fhir.Organization}
	slices.Sort(want)
	if got := p.Types(); !slices.Equal(got, want) {
		t.Errorf("Types() = %v, want %v", got, want)
	}
}
