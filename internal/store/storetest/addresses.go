package storetest

import (
	"context"
	"testing"

	"muster/internal/store"
)

// Addressed is the part of a store that knows the base URLs of its directory.
type Addressed interface {
	Info() store.Identity
	AdoptBaseURL(ctx context.Context, baseURL string) error
	Close() error
}

// OlderAddresses opens directories of a program that stored the default base URL. The default
// becomes a former base URL, so another one can be given, and references below it still lead
// into the directory. A base URL that was given stays. versions is the table of migrations, and
// open opens a new directory after running statements on its database.
func OlderAddresses(t *testing.T, versions string, open func(statements ...string) (Addressed, error)) {
	for _, c := range []struct{ stored, base, former string }{
		{"http://localhost:8080/fhir", "", "http://localhost:8080/fhir"},
		{"https://directory.example.org/fhir", "https://directory.example.org/fhir", ""},
		{"", "", ""},
	} {
		s, err := open(append(BeforeChecksums(versions), `UPDATE meta SET value = '`+c.stored+`' WHERE key = 'base_url'`,
			`DELETE FROM meta WHERE key = 'former_base_urls'`, `DELETE FROM `+versions+` WHERE version_id >= 4`)...)
		if err != nil {
			t.Fatal(err)
		}
		if got := s.Info(); got.BaseURL != c.base || got.Former != c.former {
			t.Errorf("%q became %+v", c.stored, got)
		}
		if c.base == "" {
			if err := s.AdoptBaseURL(t.Context(), "https://given.example.org/fhir"); err != nil {
				t.Errorf("%q: %v", c.stored, err)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
