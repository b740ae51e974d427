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
