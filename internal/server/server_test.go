package server

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"muster/internal/conformance"
	"muster/internal/export"
)

func TestInvalidConfig(t *testing.T) {
	registry, err := conformance.Load()
	if err != nil {
		t.Fatal(err)
	}
	good := Config{Exports: &fakeExports{}, Searches: fakeSearches{}, ParseExport: func(context.Context, []byte) (export.Request, error) { return export.Request{}, nil }, Registry: registry,
		BaseURL: "http://localhost:8080/fhir", Logger: slog.New(slog.DiscardHandler), Now: time.Now}
	for _, url := range []string{"", "/fhir", "localhost:8080/fhir", "ftp://x/fhir", "http:///fhir", "http://x/fhir/", "http://x/fhir?a=b", "http://x/fhir#a", "http://u:p@x/fhir", "http://x/{id}", "http://x/ a"} {
		c := good
		c.BaseURL = url
		if _, err := New(c); err == nil {
			t.Errorf("the base URL %q was accepted", url)
		}
	}
	for _, url := range []string{"http://localhost:8080", "https://x/a/b/c"} {
		c := good
		c.BaseURL = url
		if _, err := New(c); err != nil {
			t.Errorf("the base URL %q: %v", url, err)
		}
	}
	for name, alter := range map[string]func(*Config){
		"Exports": func(c *Config) { c.Exports = nil }, "Searches": func(c *Config) { c.Searches = nil }, "ParseExport": func(c *Config) { c.ParseExport = nil }, "Registry": func(c *Config) { c.Registry = nil },
		"Logger": func(c *Config) { c.Logger = nil }, "Now": func(c *Config) { c.Now = nil },
	} {
		c := good
		alter(&c)
		if _, err := New(c); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("without %s: %v", name, err)
		}
	}
}
