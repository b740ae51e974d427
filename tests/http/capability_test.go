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

// capabilities is the part of a CapabilityStatement about search.
type capabilities struct {
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

// TestCapabilityStatement sends a request for each parameter, modifier and include in the
// CapabilityStatement, which must succeed, and for some that are not in it, which must be
// rejected.
func TestCapabilityStatement(t *testing.T) {
	t.Attr("requirements", "CS-03 CS-04 TR-01 SR-01 SR-23")
	r := &runner{t: t, file: "metadata", known: captures{"base": base}}
	r.start(step{})
	var statement capabilities
	if err := json.Unmarshal(get(t, r, "/metadata", http.StatusOK), &statement); err != nil {
		t.Fatal(err)
	}
	types := 0
	for _, resource := range statement.Rest[0].Resource {
		if resource.Type == "Binary" || resource.Type == "Parameters" {
			continue // neither can be searched
		}
		types++
		if len(resource.Interaction) != 2 {
			t.Errorf("%s: interactions %v", resource.Type, resource.Interaction)
		}
		begin := "/" + resource.Type + "?_lastUpdated=ge1900"
		get(t, r, "/"+resource.Type+"/unknown", http.StatusNotFound)
		for _, p := range resource.SearchParam {
			value := url.QueryEscape(validValue(p.Name, p.Type, ""))
			get(t, r, begin+"&"+p.Name+"="+value, http.StatusOK)
			modifiers := documentedModifiers(p.Documentation)
			for _, m := range append(modifiers, "above", "unknown") {
				want := http.StatusOK
				if !slices.Contains(modifiers, m) {
					want = http.StatusBadRequest
				}
				get(t, r, begin+"&"+p.Name+":"+m+"="+url.QueryEscape(validValue(p.Name, p.Type, m)), want)
			}
		}
		for _, i := range resource.SearchInclude {
			get(t, r, begin+"&_include="+i, http.StatusOK)
		}
		for _, i := range resource.SearchRevInclude {
			get(t, r, begin+"&_revinclude="+i, http.StatusOK)
		}
		get(t, r, begin+"&_include="+resource.Type+":nothing", http.StatusBadRequest)
		get(t, r, begin+"&_revinclude=PractitionerRole:identifier", http.StatusBadRequest)
		get(t, r, begin+"&phonetic=a", http.StatusBadRequest)
	}
	if types != 7 {
		t.Errorf("the CapabilityStatement has %d types", types)
	}
}

// get gets a path and returns the body of a response with the wanted status.
func get(t *testing.T, r *runner, path string, want int) []byte {
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

// documentedModifiers parses "Modifiers: :exact, :missing." in the documentation of a
// parameter.
func documentedModifiers(documentation string) (list []string) {
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

// validValue returns a valid value of a parameter.
func validValue(name, kind, modifier string) string {
	switch {
	case modifier == "missing", name == "active", name == "allday", name == "suppressed":
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
