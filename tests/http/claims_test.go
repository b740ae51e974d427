package http

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// claims is what a CapabilityStatement says of searching.
type claims struct {
	Rest []struct {
		Resource []struct {
			Type             string
			Interaction      []struct{ Code string }
			SearchParam      []struct{ Name, Type, Documentation string }
			SearchInclude    []string
			SearchRevInclude []string
		}
	}
}

// TestMetadataIsTrue asks the server for everything that its CapabilityStatement
// claims, and for what it does not claim: the first is answered, the second refused.
func TestMetadataIsTrue(t *testing.T) {
	t.Attr("requirements", "CS-03 CS-04 TR-01 SR-01 SR-23")
	r := &runner{t: t, file: "metadata", known: holes{"base": base}}
	r.start(step{})
	var said claims
	if err := json.Unmarshal(ask(t, r, "/metadata", http.StatusOK), &said); err != nil {
		t.Fatal(err)
	}
	types := 0
	for _, resource := range said.Rest[0].Resource {
		if resource.Type == "Binary" {
			continue
		}
		types++
		if len(resource.Interaction) != 2 {
			t.Errorf("%s: interactions %v", resource.Type, resource.Interaction)
		}
		begin := "/" + resource.Type + "?_lastUpdated=ge1900"
		ask(t, r, "/"+resource.Type+"/nobody", http.StatusNotFound)
		for _, p := range resource.SearchParam {
			value := url.QueryEscape(sampleOf(p.Name, p.Type, ""))
			ask(t, r, begin+"&"+p.Name+"="+value, http.StatusOK)
			taken := modifiersIn(p.Documentation)
			for _, m := range append(taken, "above", "wibble") {
				want := http.StatusOK
				if !slices.Contains(taken, m) {
					want = http.StatusBadRequest
				}
				ask(t, r, begin+"&"+p.Name+":"+m+"="+url.QueryEscape(sampleOf(p.Name, p.Type, m)), want)
			}
		}
		for _, i := range resource.SearchInclude {
			ask(t, r, begin+"&_include="+i, http.StatusOK)
		}
		for _, i := range resource.SearchRevInclude {
			ask(t, r, begin+"&_revinclude="+i, http.StatusOK)
		}
		ask(t, r, begin+"&_include="+resource.Type+":nothing", http.StatusBadRequest)
		ask(t, r, begin+"&_revinclude=PractitionerRole:identifier", http.StatusBadRequest)
		ask(t, r, begin+"&phonetic=a", http.StatusBadRequest)
	}
	if types != 7 {
		t.Errorf("%d types are announced", types)
	}
}

// ask gets a path and returns the body of an answer with the status wanted.
func ask(t *testing.T, r *runner, path string, want int) []byte {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Accept", "application/fhir+json")
	response, err := r.client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	if response.StatusCode != want {
		t.Errorf("%s: %s, want %d\n%.500s", path, response.Status, want, body)
	}
	return body
}

// modifiersIn reads "Modifiers: :exact, :missing." out of the documentation of a
// parameter.
func modifiersIn(documentation string) (list []string) {
	_, rest, found := strings.Cut(documentation, "Modifiers: ")
	if !found {
		return nil
	}
	rest, _, _ = strings.Cut(rest, ".")
	for m := range strings.SplitSeq(rest, ", ") {
		list = append(list, strings.TrimPrefix(m, ":"))
	}
	return list
}

// sampleOf is a sound value.
func sampleOf(name, kind, modifier string) string {
	switch {
	case modifier == "missing", name == "active", name == "allday":
		return "true"
	case kind == "date":
		return "2026"
	case kind == "number":
		return "0830"
	case kind == "special":
		return "-33.8|151.2|1|km"
	}
	return "a"
}
