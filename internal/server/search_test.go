package server

import (
	"bytes"
	"fmt"
	"testing"

	"muster/internal/fhir"
	"muster/internal/store"
)

// TestTooCostly checks that a search or read that exceeds its deadline says what to do.
func TestTooCostly(t *testing.T) {
	u := startServer(t, func(c *Config) {
		c.Searches = fakeSearches{err: fmt.Errorf("search Practitioner: %w", store.ErrTooCostly)}
	})
	for _, path := range []string{"/Practitioner?name=x", "/?_getpages=x", "/Practitioner/1"} {
		r := u.request("GET", "/api/v1/fhir"+path, "")
		u.wantStatus(r, 400, fhir.CodeTooCostly)
		if !bytes.Contains(r.body, []byte("narrow it")) {
			t.Errorf("%s: %s", path, r.body)
		}
	}
}

// TestBusySearch checks that a search that waited too long for its turn is answered with 503, and
// that the client is not blamed.
func TestBusySearch(t *testing.T) {
	t.Attr("requirements", "RL-04")
	counted := &countingObserver{}
	u := startServer(t, func(c *Config) {
		c.Searches, c.Observer = fakeSearches{err: fmt.Errorf("search Practitioner: %w", store.ErrBusy)}, counted
	})
	for _, path := range []string{"Practitioner?name=a", "Practitioner/1", "?_getpages=x"} {
		r := u.request("GET", "/api/v1/fhir/"+path, "")
		u.wantStatus(r, 503, fhir.CodeTransient)
		if r.Header.Get("Retry-After") != "5" {
			t.Errorf("%s: Retry-After %q", path, r.Header.Get("Retry-After"))
		}
	}
	if counted.refused[RefusedBusy] != 3 {
		t.Errorf("refused: %v", counted.refused)
	}
}
