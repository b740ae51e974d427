package auth_test

import (
	"errors"
	"io"
	"testing"

	"muster/internal/auth"
	"muster/internal/fhir"
)

// TestContext: without a principal in the context, the client is anonymous.
func TestContext(t *testing.T) {
	if p := auth.From(t.Context()); p.Authenticated() || p.May(auth.Export) != fhir.AllTypes() {
		t.Errorf("without a principal: %+v", p)
	}
	known := auth.Of("https://issuer.example.org", "clinic")
	if p := auth.From(auth.With(t.Context(), known)); !p.Authenticated() || p.ID != "https://issuer.example.org clinic" {
		t.Errorf("with a principal: %+v", p)
	}
	for i := auth.Search; i <= auth.Export; i++ {
		if types := known.May(i); types != 0 {
			t.Errorf("a principal without grants may %s %s", i, types)
		}
	}
}

// TestGrants: grants are combined by interaction.
func TestGrants(t *testing.T) {
	organizations, locations := fhir.TypesOf(fhir.Organization), fhir.TypesOf(fhir.Location)
	a := auth.Grants{auth.Read: organizations, auth.Export: fhir.AllTypes()}
	b := auth.Grants{auth.Read: locations, auth.Export: locations}
	if both := a.And(b); both != (auth.Grants{auth.Export: locations}) {
		t.Errorf("and: %v", both)
	}
	if either := a.Or(b); either != (auth.Grants{auth.Read: organizations | locations, auth.Export: fhir.AllTypes()}) {
		t.Errorf("or: %v", either)
	}
}

// TestUnavailable: the error keeps its cause, for the log.
func TestUnavailable(t *testing.T) {
	if err := auth.Unavailable(io.ErrUnexpectedEOF); !errors.Is(err, auth.ErrUnavailable) || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("%v", err)
	}
}
