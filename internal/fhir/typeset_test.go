package fhir

import (
	"slices"
	"testing"
)

func TestTypeSet(t *testing.T) {
	some := TypesOf(Provenance, Organization)
	if !slices.Equal(some.Types(), []Type{Organization, Provenance}) || some.String() != "Organization, Provenance" {
		t.Errorf("types: %v, %s", some.Types(), some)
	}
	if !some.Has(Provenance) || some.Has(Location) {
		t.Errorf("%s has Provenance: %v, Location: %v", some, some.Has(Provenance), some.Has(Location))
	}
	if !AllTypes().Covers(some) || some.Covers(TypesOf(Location)) || !some.Covers(0) {
		t.Errorf("all cover %s: %v, it covers Location: %v, nothing: %v", some, AllTypes().Covers(some), some.Covers(TypesOf(Location)), some.Covers(0))
	}
	if rest := AllTypes().Without(some); rest.Has(Organization) || len(rest.Types()) != 5 {
		t.Errorf("without %s: %s", some, rest)
	}
}
