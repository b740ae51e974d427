package conformance

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"time"

	"muster/internal/fhir"
)

// CapabilityOptions describe a server.
type CapabilityOptions struct {
	BaseURL string // public base URL without a trailing slash
	Version string // version of muster
	// Released is when this version was made, as a FHIR dateTime. Empty if it is not known.
	Released string
	Date     fhir.Instant // when the statement changed last: the start of the server
	Contact  Contact      // of the operator. Defaults to the base URL
	Rules    ServerRules
	Access   Access
}

// Access says who the server lets in. With the zero value, no client is authenticated.
type Access struct {
	Tokens   bool   // requests need access tokens
	TokenURL string // where clients get them; empty if the server does not know
	CORS     bool   // pages of some other origins may use the API
}

// Contact is a way to reach someone.
type Contact struct {
	System string `json:"system"` // email, phone or url
	Value  string `json:"value"`
}

// ServerRules are the rules in force that the text of the statement names. The zero value has
// the rules of the guide.
type ServerRules struct {
	// AnswersEarlyPolls is set if a poll before the time in Retry-After is answered instead of
	// rejected.
	AnswersEarlyPolls bool
	// PollInterval is the time in Retry-After. Zero if it adapts, up to 120 seconds.
	PollInterval time.Duration
	// ExportsWithoutFilter is set if a type without a _typeFilter is exported completely.
	ExportsWithoutFilter bool
	// SearchesEverything is set if a search may have no criteria.
	SearchesEverything bool
	// SuppressedUnknown is set if clients cannot search for suppressed resources.
	SuppressedUnknown bool
	// DeltasWithoutSuppressed is set if exports with _since leave out suppressed resources.
	DeltasWithoutSuppressed bool
}

// CapabilityStatement returns the response to GET [base]/metadata as one JSON object (CS-01,
// CS-03 to CS-08). It is computed from the registry, so that it lists exactly the search
// parameters, modifiers and includes that the server accepts, without restricted
// parameters. It has a security service (CS-02) if the server needs tokens. It
// does not claim the bulk-data guide, which requires a kick-off with GET (CS-06).
func CapabilityStatement(reg *Registry, o CapabilityOptions) []byte {
	if o.Contact == (Contact{}) {
		o.Contact = Contact{"url", o.BaseURL}
	}
	s := capabilityStatement{
		ResourceType: "CapabilityStatement",
		URL:          o.BaseURL + "/metadata",
		Version:      o.Version,
		Name:         "MusterProviderDirectory",
		Title:        "Provider directory with bulk export",
		Status:       "active",
		Date:         o.Date.String(),
		Publisher:    "The operator of " + o.BaseURL,
		Contact:      []contactDetail{{Telecom: []Contact{o.Contact}}},
		Description:  "A provider directory after the Health Connect Australia Provider Directory guide, FHIR R4, with asynchronous bulk export.",
		Kind:         "instance",
		Instantiates: []string{"http://digitalhealth.gov.au/fhir/hcpd/CapabilityStatement/health-connect-provider-directory-responder"},
		Software:     software{Name: "muster", Version: o.Version, ReleaseDate: o.Released},
		Implementation: implementation{
			Description: "Provider directory at " + o.BaseURL,
			URL:         o.BaseURL,
		},
		FHIRVersion: "4.0.1",
		Format:      []string{"json"},
		Rest: []rest{{
			Mode:          "server",
			Documentation: o.Rules.searchText(),
			Security:      o.Access.security(),
			Operation: []operation{{
				Name:          "export",
				Definition:    "http://hl7.org/fhir/uv/bulkdata/OperationDefinition/export",
				Documentation: o.Rules.exportText(),
			}},
		}},
	}
	for _, t := range reg.Types() {
		s.Rest[0].Resource = append(s.Rest[0].Resource, resourceOf(reg, t))
	}
	s.Rest[0].Resource = append(s.Rest[0].Resource, resource{
		Type:          "Parameters",
		Profile:       "http://digitalhealth.gov.au/fhir/hcpd/StructureDefinition/hcpd-export-request-parameters",
		Documentation: "The body of a request to $export. It is not stored, and cannot be read or searched.",
	}, resource{
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

// security describes how clients are authenticated (CS-02, AU-05).
func (a Access) security() security {
	if !a.Tokens {
		return security{CORS: a.CORS, Description: "The server does not authenticate clients: it checks no access tokens, and its operator decides which clients can connect."}
	}
	s := security{CORS: a.CORS, Description: "Requests need an OAuth 2.0 bearer token with the scope of the interaction: search, read or export. " +
		"A SMART scope such as system/Organization.rs allows some types only. This statement needs no token."}
	const code, system = "OAuth", "http://terminology.hl7.org/CodeSystem/restful-security-service"
	s.Service = []codeableConcept{{Coding: []coding{{System: system, Code: code}}, Text: "OAuth 2.0 bearer tokens"}}
	if a.TokenURL != "" {
		s.Extension = []extension{{
			URL:       "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris",
			Extension: []extension{{URL: "token", ValueURI: a.TokenURL}},
		}}
	}
	return s
}

// searchText describes the rules and limits of searches of every type (CS-08).
func (r ServerRules) searchText() string {
	var text []string
	if !r.SearchesEverything {
		text = append(text, "A search needs at least one parameter other than active, status, suppressed and those that begin with _ (but _id, _lastUpdated and _has count).")
	}
	if r.SuppressedUnknown {
		text = append(text, "It finds the resources that are active and not suppressed; it may name another state of active and status, but the parameter suppressed is rejected with 403.")
	} else {
		text = append(text, "It finds the resources that are active and not suppressed, unless it names another state.")
	}
	return strings.Join(append(text,
		"Chains and reverse chains (_has) of any depth end in any parameter listed here; a reference can be narrowed to a type (organization:Organization.name).",
		"A page has at most 30 resources (_count) and a search shows at most the first 150.",
		"Parameters that are not listed are rejected with 400, never ignored."), " ")
}

// exportText describes the export and its limits (CS-08).
func (r ServerRules) exportText() string {
	filters := "Each type in _type needs one _typeFilter, which is a search on the type with the parameters listed there, at least one of them other than active, status and suppressed."
	if r.ExportsWithoutFilter {
		filters = "A type in _type may have one _typeFilter, which is a search on the type with the parameters listed there; without one all resources of the type are exported."
	}
	delta := "with _since they hold the resources in any state that changed after the instant."
	if r.DeltasWithoutSuppressed {
		delta = "with _since they hold the resources that changed after the instant, also inactive ones, but not suppressed ones."
	}
	wait := "at most 120 seconds"
	if r.PollInterval > 0 {
		wait = fmt.Sprintf("%g seconds", math.Ceil(r.PollInterval.Seconds()))
	}
	early := "earlier polls get 429."
	if r.AnswersEarlyPolls {
		early = "earlier polls are answered too."
	}
	return strings.Join([]string{
		"POST [base]/$export with a Parameters resource and Prefer: respond-async.",
		filters,
		"Without _since the files hold the resources that are active and not suppressed; " + delta,
		"Poll the Content-Location after the time in Retry-After, which is " + wait + "; " + early,
		"Files can be downloaded until the time in Expires; DELETE on the Content-Location cancels a job or deletes its files.",
	}, " ")
}

// resourceOf returns the entry of one type.
func resourceOf(reg *Registry, t fhir.Type) resource {
	r := resource{
		Type:             t.String(),
		Profile:          "http://digitalhealth.gov.au/fhir/hcpd/StructureDefinition/hcpd-" + strings.ToLower(t.String()),
		Documentation:    "Supports read, search and export. Searches and _typeFilter accept the same search parameters.",
		Interaction:      []interaction{{Code: "read"}, {Code: "search-type"}},
		Versioning:       "versioned",
		ReadHistory:      new(bool), // false: versions cannot be read
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
		ResourceType   string          `json:"resourceType"`
		URL            string          `json:"url"`
		Version        string          `json:"version,omitempty"`
		Name           string          `json:"name"`
		Title          string          `json:"title"`
		Status         string          `json:"status"`
		Date           string          `json:"date"`
		Publisher      string          `json:"publisher"`
		Contact        []contactDetail `json:"contact"`
		Description    string          `json:"description"`
		Kind           string          `json:"kind"`
		Instantiates   []string        `json:"instantiates"`
		Software       software        `json:"software"`
		Implementation implementation  `json:"implementation"`
		FHIRVersion    string          `json:"fhirVersion"`
		Format         []string        `json:"format"`
		Rest           []rest          `json:"rest"`
	}
	contactDetail struct {
		Telecom []Contact `json:"telecom"`
	}
	security struct {
		Extension   []extension       `json:"extension,omitempty"`
		CORS        bool              `json:"cors"`
		Service     []codeableConcept `json:"service,omitempty"`
		Description string            `json:"description"`
	}
	extension struct {
		URL       string      `json:"url"`
		Extension []extension `json:"extension,omitempty"`
		ValueURI  string      `json:"valueUri,omitempty"`
	}
	codeableConcept struct {
		Coding []coding `json:"coding"`
		Text   string   `json:"text"`
	}
	coding struct {
		System string `json:"system"`
		Code   string `json:"code"`
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
		Security      security    `json:"security"`
		Resource      []resource  `json:"resource"`
		Operation     []operation `json:"operation"`
	}
	resource struct {
		Type             string        `json:"type"`
		Profile          string        `json:"profile,omitempty"`
		Documentation    string        `json:"documentation"`
		Interaction      []interaction `json:"interaction,omitempty"`
		Versioning       string        `json:"versioning,omitempty"`
		ReadHistory      *bool         `json:"readHistory,omitempty"`
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
