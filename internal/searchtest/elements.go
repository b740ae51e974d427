package searchtest

import (
	"maps"
	"slices"

	"muster/internal/fhir"
)

// kind is the FHIR search parameter type, which decides how values are compared.
type kind string

const (
	token     kind = "token"
	str       kind = "string"
	date      kind = "date"
	reference kind = "reference"
	uri       kind = "uri"
	hhmm      kind = "number"
	near      kind = "special"
)

// parameter describes a search parameter of a type: how values are compared and which
// elements contain them.
type parameter struct {
	kind        kind
	read        reader
	targets     []fhir.Type          // of a reference
	caseless    bool                 // codes are case-insensitive
	spaceIsPlus bool                 // a space in the query may be a decoded plus sign
	contains    bool                 // a token that supports :contains and :exact (SR-41)
	noExact     bool                 // :exact is not supported (SR-40)
	noModifiers bool                 // no modifier is supported
	implied     []string             // systems of the codes, which the elements do not state (SR-47)
	stated      string               // for suppressed: the system that some of its codes state
	codes       []string             // codes of the elements as R4 lists them
	only        []string             // the only codes that a query may have
	contact     bool                 // contact points: their values have no system (SR-47)
	isPresent   func(*Resource) bool // what :missing tests; nil: whether there are values
	role        string               // "state", "system", or empty for substantive
}

const (
	hcpd = "http://digitalhealth.gov.au/fhir/hcpd/StructureDefinition/"
	cc   = "http://digitalhealth.gov.au/fhir/cc/StructureDefinition/"
)

// The systems that R4 implies for codes, and their codes (SR-47).
var (
	specialValues = []string{"http://hl7.org/fhir/special-values", "http://terminology.hl7.org/CodeSystem/special-values"}
	daysOfWeek    = []string{"http://hl7.org/fhir/days-of-week"}
	addressUse    = []string{"http://hl7.org/fhir/address-use"}
	mimeTypes     = []string{"urn:ietf:bcp:13"}
	trueFalse     = []string{"true", "false"}
	weekdays      = []string{"mon", "tue", "wed", "thu", "fri", "sat", "sun"}
	addressUses   = []string{"home", "work", "temp", "old", "billing"}
)

const responsibleParty = "http://digitalhealth.gov.au/fhir/cc/CodeSystem/responsible-party-type"

// statusParameter returns active or status, the state parameter of a type.
func statusParameter(t fhir.Type) parameter {
	p := parameter{kind: token, read: states, isPresent: hasStateElement, role: "state"}
	switch t {
	case fhir.Location:
		p.implied, p.codes = []string{"http://hl7.org/fhir/location-status"}, []string{"active", "suspended", "inactive"}
	case fhir.Endpoint:
		p.implied, p.codes = []string{"http://hl7.org/fhir/endpoint-status"}, []string{"active", "suspended", "error", "off", "entered-in-error", "test"}
	default:
		p.implied, p.only = specialValues, trueFalse
	}
	return p
}

var statefulTypes = []fhir.Type{fhir.Organization, fhir.Location, fhir.Endpoint, fhir.HealthcareService, fhir.Practitioner, fhir.PractitionerRole}

// commonParameters are the parameters of all types (section 1 of the guide's table).
var commonParameters = map[string]parameter{
	"_id":          {kind: token, read: plain("id"), noModifiers: true},
	"_lastUpdated": {kind: date, read: dates("meta", "lastUpdated"), noModifiers: true},
	"_tag":         {kind: token, read: codings("meta", "tag"), role: "system"},
	"_security":    {kind: token, read: codings("meta", "security"), role: "system"},
	"_profile":     {kind: uri, read: uris("meta", "profile"), role: "system"},
	"_source":      {kind: uri, read: uris("meta", "source"), role: "system"},
}

// parametersByType are the parameters of each type (sections 2 to 7).
var parametersByType = map[fhir.Type]map[string]parameter{
	fhir.Organization: {
		"identifier": {kind: token, read: identifiers("identifier")},
		"name":       {kind: str, read: concat(texts("name"), texts("alias"))},
		"type":       {kind: token, read: concepts("type")},
		"endpoint":   {kind: reference, read: references("endpoint"), targets: []fhir.Type{fhir.Endpoint}},
		"partof":     {kind: reference, read: references("partOf"), targets: []fhir.Type{fhir.Organization}},
	},
	fhir.Practitioner: {
		"identifier":    {kind: token, read: identifiers("identifier")},
		"identifier-r5": {kind: token, read: concat(identifiers("identifier"), identifiers("qualification", "identifier")), contains: true},
		"name":          {kind: str, read: names("name")},
		"family":        {kind: str, read: each(familyName, "name", "family")},
		"given":         {kind: str, read: texts("name", "given")},
		"regprof":       {kind: str, read: texts("qualification", "code", "text")},
		"rsg":           {kind: token, read: recordedSex},
		"communication": {kind: token, read: concepts("communication")},
		"email":         {kind: token, read: contacts("email"), contact: true},
		"phone":         {kind: token, read: contacts("phone"), contact: true},
		"telecom":       {kind: token, read: contacts(""), contact: true},
	},
	fhir.PractitionerRole: {
		"identifier":   {kind: token, read: identifiers("identifier")},
		"role":         {kind: token, read: primaryRole},
		"specialty":    {kind: token, read: concepts("specialty")},
		"languages":    {kind: token, read: extensionConcepts(cc + "practitioner-role-communication")},
		"allday":       {kind: token, read: plain("availableTime", "allDay"), implied: specialValues, only: trueFalse},
		"daysofweek":   {kind: token, read: plain("availableTime", "daysOfWeek"), implied: daysOfWeek, codes: weekdays},
		"starttime":    {kind: hhmm, read: timesOfDay("availableStartTime")},
		"endtime":      {kind: hhmm, read: timesOfDay("availableEndTime")},
		"practitioner": {kind: reference, read: references("practitioner"), targets: []fhir.Type{fhir.Practitioner}},
		"organization": {kind: reference, read: references("organization"), targets: []fhir.Type{fhir.Organization}},
		"location":     {kind: reference, read: references("location"), targets: []fhir.Type{fhir.Location}},
		"service":      {kind: reference, read: references("healthcareService"), targets: []fhir.Type{fhir.HealthcareService}},
		"endpoint":     {kind: reference, read: references("endpoint"), targets: []fhir.Type{fhir.Endpoint}},
		"date":         {kind: date, read: periods("period")},
		"email":        {kind: token, read: contacts("email"), contact: true},
		"phone":        {kind: token, read: contacts("phone"), contact: true},
		"telecom":      {kind: token, read: contacts(""), contact: true},
	},
	fhir.HealthcareService: {
		"identifier":       {kind: token, read: identifiers("identifier")},
		"name":             {kind: str, read: texts("name")},
		"service-type":     {kind: token, read: concepts("type")},
		"service-category": {kind: token, read: concepts("category")},
		"specialty":        {kind: token, read: concepts("specialty")},
		"characteristic":   {kind: token, read: concepts("characteristic")},
		"program":          {kind: token, read: concepts("program")},
		"languages":        {kind: token, read: concepts("communication")},
		"hsbilling":        {kind: token, read: concepts("serviceProvisionCode")},
		"allday":           {kind: token, read: plain("availableTime", "allDay"), implied: specialValues, only: trueFalse},
		"daysofweek":       {kind: token, read: plain("availableTime", "daysOfWeek"), implied: daysOfWeek, codes: weekdays},
		"starttime":        {kind: hhmm, read: timesOfDay("availableStartTime")},
		"endtime":          {kind: hhmm, read: timesOfDay("availableEndTime")},
		"organization":     {kind: reference, read: references("providedBy"), targets: []fhir.Type{fhir.Organization}},
		"location":         {kind: reference, read: references("location"), targets: []fhir.Type{fhir.Location}},
		"coverage-area":    {kind: reference, read: references("coverageArea"), targets: []fhir.Type{fhir.Location}},
		"endpoint":         {kind: reference, read: references("endpoint"), targets: []fhir.Type{fhir.Endpoint}},
	},
	fhir.Location: {
		"identifier":           {kind: token, read: identifiers("identifier")},
		"name":                 {kind: str, read: concat(texts("name"), texts("alias"))},
		"locmailaddress":       {kind: str, read: mailAddresses, noExact: true},
		"locationamenities":    {kind: token, read: extensionConcepts(cc + "amenity"), caseless: true},
		"locationphysicaltype": {kind: token, read: concepts("physicalType")},
		"type":                 {kind: token, read: concepts("type")},
		"operational-status":   {kind: token, read: codings("operationalStatus")},
		"near":                 {kind: near, read: position},
		"organization":         {kind: reference, read: references("managingOrganization"), targets: []fhir.Type{fhir.Organization}},
		"partof":               {kind: reference, read: references("partOf"), targets: []fhir.Type{fhir.Location}},
		"endpoint":             {kind: reference, read: references("endpoint"), targets: []fhir.Type{fhir.Endpoint}},
	},
	fhir.Endpoint: {
		"identifier":      {kind: token, read: identifiers("identifier")},
		"name":            {kind: str, read: texts("name")},
		"epurl":           {kind: uri, read: uris("address")},
		"payloadmimetype": {kind: token, read: plain("payloadMimeType"), spaceIsPlus: true, implied: mimeTypes},
		"hcepi":           {kind: token, read: endpointNumbers},
		"connection-type": {kind: token, read: codings("connectionType")},
		"payload-type":    {kind: token, read: concepts("payloadType")},
		"organization":    {kind: reference, read: references("managingOrganization"), targets: []fhir.Type{fhir.Organization}},
	},
	fhir.Provenance: {
		"target":         {kind: reference, read: references("target"), targets: statefulTypes},
		"agent":          {kind: reference, read: references("agent", "who"), targets: []fhir.Type{fhir.Organization, fhir.Practitioner, fhir.PractitionerRole}},
		"entity":         {kind: reference, read: references("entity", "what"), targets: fhir.Types()},
		"location":       {kind: reference, read: references("location"), targets: []fhir.Type{fhir.Location}},
		"agent-role":     {kind: token, read: concepts("agent", "role")},
		"agent-type":     {kind: token, read: concepts("agent", "type")},
		"signature-type": {kind: token, read: codings("signature", "type")},
		"recorded":       {kind: date, read: dates("recorded")},
		"when":           {kind: date, read: dates("occurredDateTime")},
	},
}

// aliases maps other names of parameters to their codes.
var aliases = map[fhir.Type]map[string]string{
	fhir.HealthcareService: {"type": "service-type"},
	fhir.Organization:      {"partOf": "partof"},
	fhir.Location:          {"partOf": "partof"},
	fhir.Provenance:        {"agent.who": "agent"},
}

// restricted are the parameters of Practitioner that are refused for privacy (SR-30).
var restricted = []string{"gender", "gender-identity", "address", "address-city", "address-country", "address-postalcode", "address-state", "address-use"}

func init() {
	for _, t := range fhir.Types() {
		for code, p := range commonParameters {
			parametersByType[t][code] = p
		}
	}
	for _, t := range statefulTypes {
		parametersByType[t]["suppressed"] = parameter{
			kind: token, read: suppressions, isPresent: hasSuppressionExtension, role: "state",
			implied: specialValues, stated: responsibleParty, only: []string{"true", "false", "organisation-initiated", "practitioner-initiated"},
		}
		parametersByType[t][stateElement(t)] = statusParameter(t)
	}
	for _, t := range []fhir.Type{fhir.Organization, fhir.Location} {
		parametersByType[t]["address"] = parameter{kind: str, read: addresses("address")}
		parametersByType[t]["address-city"] = parameter{kind: str, read: texts("address", "city")}
		parametersByType[t]["address-state"] = parameter{kind: str, read: texts("address", "state")}
		parametersByType[t]["address-postalcode"] = parameter{kind: str, read: texts("address", "postalCode")}
		parametersByType[t]["address-country"] = parameter{kind: str, read: texts("address", "country")}
		parametersByType[t]["address-use"] = parameter{kind: token, read: plain("address", "use"), implied: addressUse, codes: addressUses}
	}
}

// recordedSex returns the values of the recorded sex or gender (rsg).
func recordedSex(d *Directory, r *Resource) []value {
	var list []value
	for _, e := range extensions(r.body, "http://hl7.org/fhir/StructureDefinition/individual-recordedSexOrGender") {
		for _, v := range extensions(e, "value") {
			list = append(list, concept(d, v.(map[string]any)["valueCodeableConcept"])...)
		}
	}
	return list
}

// extensionConcepts returns a reader of the codings of an extension's CodeableConcept.
func extensionConcepts(url string) reader {
	return func(d *Directory, r *Resource) []value {
		var list []value
		for _, e := range extensions(r.body, url) {
			list = append(list, concept(d, e.(map[string]any)["valueCodeableConcept"])...)
		}
		return list
	}
}

// mailAddresses returns the parts of the alternate postal address, from both extensions
// (8.10).
func mailAddresses(_ *Directory, r *Resource) []value {
	var list []value
	for _, url := range []string{hcpd + "hcpd-alternate-postal-address", hcpd + "hc-alternate-postal-address"} {
		for _, e := range extensions(r.body, url) {
			list = append(list, parts(e.(map[string]any)["valueAddress"], "text", "city", "state", "line", "postalCode")...)
		}
	}
	return list
}

// endpointNumbers returns the identifiers of type XX or RI (8.7, A-36).
func endpointNumbers(d *Directory, r *Resource) []value {
	var list []value
	for _, i := range at(r.body, "identifier") {
		for _, c := range at(i, "type", "coding") {
			if code := text(c, "code"); code == "XX" || code == "RI" {
				list = append(list, identifier(d, i)...)
				break
			}
		}
	}
	return list
}

// ParameterInfo describes a parameter that the evaluator supports.
type ParameterInfo struct {
	Code      string
	Type      string   // FHIR search parameter type
	Modifiers []string // in alphabetical order
	Aliases   []string // in alphabetical order
}

// Parameters lists the parameters of a type that the evaluator supports, by code.
func Parameters(t fhir.Type) []ParameterInfo {
	var list []ParameterInfo
	for _, code := range slices.Sorted(maps.Keys(parametersByType[t])) {
		p := parametersByType[t][code]
		k := ParameterInfo{Code: code, Type: string(p.kind), Modifiers: p.modifiers()[1:]}
		slices.Sort(k.Modifiers)
		for alias, of := range aliases[t] {
			if of == code {
				k.Aliases = append(k.Aliases, alias)
			}
		}
		slices.Sort(k.Aliases)
		list = append(list, k)
	}
	return list
}
