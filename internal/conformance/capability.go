package conformance

import (
	"encoding/json"
	"strings"

	"muster/internal/fhir"
)

// CapabilityOptions describe a server.
type CapabilityOptions struct {
	BaseURL string // public base URL without a trailing slash
	Version string // version of muster
	// Released is when this version was made, as a FHIR dateTime. Empty if it is not known.
	Released string
	Date     fhir.Instant // when the statement changed last: the start of the server
}

// CapabilityStatement returns the response to GET [base]/metadata as one JSON object (CS-01,
// CS-03 to CS-08). It is computed from the registry, so that it lists exactly the search
// parameters, modifiers and includes that the server accepts, without restricted
// parameters. It has no security service (CS-02) as long as the server checks no tokens.
func CapabilityStatement(reg *Registry, o CapabilityOptions) []byte {
	s := capabilityStatement{
		ResourceType: "CapabilityStatement",
		URL:          o.BaseURL + "/metadata",
		Version:      o.Version,
		Name:         "MusterProviderDirectory",
		Title:        "Provider directory with bulk export",
		Status:       "active",
		Date:         o.Date.String(),
		Publisher:    "The operator of " + o.BaseURL,
		Description:  "A provider directory after the Health Connect Australia Provider Directory guide, FHIR R4, with asynchronous bulk export.",
		Kind:         "instance",
		Instantiates: []string{
			"http://digitalhealth.gov.au/fhir/hcpd/CapabilityStatement/health-connect-provider-directory-responder",
			"http://hl7.org/fhir/uv/bulkdata/CapabilityStatement/bulk-data",
		},
		Software: software{Name: "muster", Version: o.Version, ReleaseDate: o.Released},
		Implementation: implementation{
			Description: "Provider directory at " + o.BaseURL,
			URL:         o.BaseURL,
		},
		FHIRVersion: "4.0.1",
		Format:      []string{"json"},
		Rest: []rest{{
			Mode:          "server",
			Documentation: serverDocumentation,
			Operation: []operation{{
				Name:          "export",
				Definition:    "http://hl7.org/fhir/uv/bulkdata/OperationDefinition/export",
				Documentation: exportDocumentation,
			}},
		}},
	}
	for _, t := range reg.Types() {
		s.Rest[0].Resource = append(s.Rest[0].Resource, resourceOf(reg, t))
	}
	s.Rest[0].Resource = append(s.Rest[0].Resource, resource{
		Type:          "Binary",
		Documentation: "The files of a finished export. Follow the urls of the manifest.",
		Interaction:   []interaction{{Code: "read"}},
	})
	text, err := json.Marshal(s)
	if err != nil { // cannot happen: s has texts and lists of texts only
		return nil
	}
	return text
}

// serverDocumentation describes the rules and limits of search of every type (CS-08).
const serverDocumentation = "A search needs at least one parameter other than active, status, suppressed and those that begin with _ (but _id, _lastUpdated and _has count). " +
	"It finds the resources that are active and not suppressed, unless it names another state. " +
	"Chains and reverse chains (_has) of any depth end in any parameter listed here; a reference can be narrowed to a type (organization:Organization.name). " +
	"A page has at most 30 resources (_count) and a search shows at most the first 150. " +
	"Parameters that are not listed are rejected with 400, never ignored."

// exportDocumentation describes the export and its limits (CS-08).
const exportDocumentation = "POST [base]/$export with a Parameters resource and Prefer: respond-async. " +
	"Each type in _type needs one _typeFilter, which is a search on the type with the parameters listed there, at least one of them other than active, status and suppressed. " +
	"Without _since the files hold the resources that are active and not suppressed; with _since they hold the resources in any state that changed after the instant. " +
	"Poll the Content-Location after the time in Retry-After, at most 120 seconds; earlier requests get 429. " +
	"Files can be downloaded until the time in Expires; DELETE on the Content-Location cancels a job or deletes its files."

// resourceOf returns the entry of one type.
func resourceOf(reg *Registry, t fhir.Type) resource {
	r := resource{
		Type:             t.String(),
		Profile:          "http://digitalhealth.gov.au/fhir/hcpd/StructureDefinition/hcpd-" + strings.ToLower(t.String()),
		Documentation:    "Supports read, search and export. Searches and _typeFilter accept the same search parameters.",
		Interaction:      []interaction{{Code: "read"}, {Code: "search-type"}},
		Versioning:       "versioned",
		SearchInclude:    reg.spellings(reg.Includes(t)),
		SearchRevInclude: reg.spellings(reg.RevIncludes(t)),
	}
	for _, p := range reg.Params(t) {
		if p.Restricted != "" {
			continue
		}
		listed := searchParam{Name: p.Code, Definition: p.URL, Type: string(p.Type), Documentation: strings.Join(reg.notes(p), " ")}
		r.SearchParam = append(r.SearchParam, listed)
	}
	return r
}

// notes returns what a client must know about a parameter besides its definition, one
// sentence each.
func (r *Registry) notes(p Param) []string {
	var notes []string
	if len(p.Modifiers) > 0 {
		notes = append(notes, "Modifiers: :"+strings.Join(p.Modifiers, ", :")+".")
	}
	if prefixes := p.Prefixes(); prefixes != nil {
		notes = append(notes, "Prefixes: "+strings.Join(prefixes, ", ")+".")
	}
	if p.Role == State {
		notes = append(notes, "A state parameter; a search needs another parameter too.")
	}
	if p.Role == System {
		notes = append(notes, "A search needs another parameter too.")
	}
	if names := r.Aliases(p.Base, p.Code); len(names) > 0 {
		notes = append(notes, "Also accepted as "+strings.Join(names, ", ")+".")
	}
	return notes
}

// spellings returns includes as clients may write them: with the code of the parameter, and
// with its aliases, which the guide's own list uses (TR-05).
func (r *Registry) spellings(list []Include) []string {
	var names []string
	for _, i := range list {
		names = append(names, i.String())
		for _, alias := range r.Aliases(i.Source, i.Param.Code) {
			names = append(names, i.Source.String()+":"+alias)
		}
	}
	return names
}

// The parts of a CapabilityStatement that muster uses.
type (
	capabilityStatement struct {
		ResourceType   string         `json:"resourceType"`
		URL            string         `json:"url"`
		Version        string         `json:"version,omitempty"`
		Name           string         `json:"name"`
		Title          string         `json:"title"`
		Status         string         `json:"status"`
		Date           string         `json:"date"`
		Publisher      string         `json:"publisher"`
		Description    string         `json:"description"`
		Kind           string         `json:"kind"`
		Instantiates   []string       `json:"instantiates"`
		Software       software       `json:"software"`
		Implementation implementation `json:"implementation"`
		FHIRVersion    string         `json:"fhirVersion"`
		Format         []string       `json:"format"`
		Rest           []rest         `json:"rest"`
	}
	software struct {
		Name        string `json:"name"`
		Version     string `json:"version,omitempty"`
		ReleaseDate string `json:"releaseDate,omitempty"`
	}
	implementation struct {
		Description string `json:"description"`
		URL         string `json:"url"`
	}
	rest struct {
		Mode          string      `json:"mode"`
		Documentation string      `json:"documentation"`
		Resource      []resource  `json:"resource"`
		Operation     []operation `json:"operation"`
	}
	resource struct {
		Type             string        `json:"type"`
		Profile          string        `json:"profile,omitempty"`
		Documentation    string        `json:"documentation"`
		Interaction      []interaction `json:"interaction,omitempty"`
		Versioning       string        `json:"versioning,omitempty"`
		SearchInclude    []string      `json:"searchInclude,omitempty"`
		SearchRevInclude []string      `json:"searchRevInclude,omitempty"`
		SearchParam      []searchParam `json:"searchParam,omitempty"`
	}
	interaction struct {
		Code string `json:"code"`
	}
	searchParam struct {
		Name          string `json:"name"`
		Definition    string `json:"definition,omitempty"`
		Type          string `json:"type"`
		Documentation string `json:"documentation,omitempty"`
	}
	operation struct {
		Name          string `json:"name"`
		Definition    string `json:"definition"`
		Documentation string `json:"documentation"`
	}
)
