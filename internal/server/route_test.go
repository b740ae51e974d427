package server

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"muster/internal/conformance"
	"muster/internal/export"
	"muster/internal/fhir"

	"github.com/google/go-cmp/cmp"
)

func TestNotOffered(t *testing.T) {
	t.Attr("requirements", "RD-05 SR-02")
	u := startServer(t)
	for _, c := range []struct {
		method, path string
		want         int
		allow        string
	}{
		{"GET", "/Patient/1", 404, ""},
		{"GET", "/Patient?name=x", 404, ""},
		{"POST", "/Practitioner", 405, "GET, HEAD"},
		{"POST", "", 405, "GET, HEAD"},
		{"POST", "/Practitioner/_search", 405, ""},
		{"GET", "/Practitioner/1/_history", 405, ""},
		{"GET", "/Practitioner/1/$meta", 404, ""},
		{"POST", "/Practitioner/$validate", 404, ""},
		{"GET", "/Practitioner/", 404, ""},
		{"PUT", "/Practitioner/1", 405, "GET, HEAD"},
		{"DELETE", "/Practitioner/1", 405, "GET, HEAD"},
		{"PUT", "/Binary/" + knownFile, 405, "GET, HEAD, POST"},
		{"DELETE", "/Binary/" + knownFile, 405, "GET, HEAD, POST"},
	} {
		r := u.request(c.method, "/api/v1/fhir"+c.path, "")
		u.wantStatus(r, c.want, fhir.CodeNotSupported)
		if got := r.Header.Get("Allow"); got != c.allow {
			t.Errorf("%s %s: Allow %q, want %q", c.method, c.path, got, c.allow)
		}
	}
}

func TestRoutes(t *testing.T) {
	registry, err := conformance.Load()
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(Config{Exports: &fakeExports{}, Searches: fakeSearches{}, ParseExport: func(context.Context, []byte) (export.Request, error) { return export.Request{}, nil }, Registry: registry,
		BaseURL: "http://localhost:8080/fhir", Logger: slog.New(slog.DiscardHandler), Now: time.Now, PostDownload: true})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range s.Routes() {
		got = append(got, r.Methods+" "+r.Path)
		if r.About == "" {
			t.Errorf("%s has no description", r.Path)
		}
	}
	want := []string{
		"POST /fhir/$export", "DELETE, GET, HEAD /fhir/$export-poll-status", "GET, HEAD, POST /fhir/Binary/{id}",
		"GET, HEAD /fhir/metadata", "GET, HEAD /healthz", "GET, HEAD /readyz",
	}
	for _, t := range fhir.Types() {
		want = append(want, "GET, HEAD /fhir/"+t.String(), "GET, HEAD /fhir/"+t.String()+"/{id}")
	}
	want = append(want, "GET, HEAD /fhir/{$}", "every method /")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
