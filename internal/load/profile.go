package load

import (
	"slices"
	"strconv"

	"muster/internal/fhir"
	"muster/internal/policy"

	"github.com/valyala/fastjson"
)

// The kinds of warnings, in the words of the summary. What is warned about is
// committed all the same: the directory also holds data that was made for other
// profiles, and a mistake in one place must not hide the rest.
const (
	BadHealthcareID     Kind = "HPI-I, HPI-O or HSP-O not valid"
	BadAhpra            Kind = "Ahpra number not valid"
	WrongOrganisationID Kind = "not exactly one HPI-O or HSP-O"
	WrongStatus         Kind = "status not allowed"
	UnknownCode         Kind = "code not in its value set"
	BadSuppression      Kind = "suppression not well-formed"
	NoIncludeSelf       Kind = "suppression without includeSelf"
	SharedHPII          Kind = "HPI-I of another Practitioner"
	Dangling            Kind = "reference that leads nowhere"
	NotFollowed         Kind = "reference not followed"
)

// warning says which rule a loaded resource breaks. Like a refusal it names the
// memberName and never repeats a value.
type warning struct {
	kind   Kind
	reason string
}

// profileRule is one rule of the profiles that a resource is held against.
type profileRule struct {
	of    fhir.Type
	kind  Kind
	check func(v *fastjson.Value, say func(path, text string))
}

// Identifier systems and extensions that the rules speak of.
const (
	hpiiSystem  = "http://ns.electronichealth.net.au/id/hi/hpii/1.0"
	hpioSystem  = "http://ns.electronichealth.net.au/id/hi/hpio/1.0"
	hspoSystem  = "http://ns.electronichealth.net.au/id/hi/hspo/1.0"
	ahpraSystem = "http://hl7.org.au/id/ahpra-registration-number"

	hcpdDefinitions = "http://digitalhealth.gov.au/fhir/hcpd/"
	hiStatusURL     = hcpdDefinitions + "StructureDefinition/hi-services-identifier-status"
	hiStatusCodes   = hcpdDefinitions + "CodeSystem/hi-services-identifier-status-cs"
	hiClassURL      = hcpdDefinitions + "StructureDefinition/hi-org-classification"
	hiClassCodes    = hcpdDefinitions + "CodeSystem/hi-org-classification-cs"
)

// profileRules are the rules, with the keys of their invariants. Two more need
// all of a load: SharedHPII and Dangling (links.go). What is wrong with a
// suppression is found where that is brought into its stored form.
var profileRules = []profileRule{
	// inv-hpio-0, inv-hpio-1, inv-hpio-2
	{fhir.Organization, BadHealthcareID, identifiers(hpioSystem, healthcareID("HPI-O", "800362"))},
	// inv-hspo-0, inv-hspo-1, inv-hspo-2
	{fhir.Organization, BadHealthcareID, identifiers(hspoSystem, healthcareID("HSP-O", "800364"))},
	// inv-hpii-0, inv-hpii-1, inv-hpii-2
	{fhir.Practitioner, BadHealthcareID, identifiers(hpiiSystem, healthcareID("HPI-I", "800361"))},
	// inv-ahpra-0
	{fhir.Practitioner, BadAhpra, qualificationAhpra},
	{fhir.PractitionerRole, BadAhpra, identifiers(ahpraSystem, fhir.CheckAhpraNumber)},
	// inv-01-identifier-hpi-or-hsp-required, inv-02-identifier-not-both-hpio-hspo
	// as it is meant, and identifier[hpio] and identifier[hspo] 0..1
	{fhir.Organization, WrongOrganisationID, organisationID},
	// inv-05-status-values of hcpd-location
	{fhir.Location, WrongStatus, allowedStatus("active", "inactive")},
	// inv-01-status-values of hcpd-endpoint
	{fhir.Endpoint, WrongStatus, allowedStatus("active", "suspended", "off")},
	// required bindings whose codes the guide lists itself
	{fhir.HealthcareService, UnknownCode, serviceProvision},
	{fhir.Organization, UnknownCode, identifierCodes},
	{fhir.Practitioner, UnknownCode, identifierCodes},
}

// provisionCodes are the codes of serviceProvisionCode: those of 26.0.0, then
// those of 0.3.0 in their two systems.
var provisionCodes = map[string][]string{
	hcpdDefinitions + "CodeSystem/service-provision-cs":                     {"NFE", "FAP", "MIX", "BB"},
	"http://terminology.hl7.org.au/CodeSystem/service-provision-conditions": {"BBO", "FAP", "NFE"},
	hcpdDefinitions + "CodeSystem/hc-service-provision-code-cs":             {"MIX"},
}

// checkProfile returns what the profiles of the guide have against a resource.
func checkProfile(t fhir.Type, v *fastjson.Value) (found []warning) {
	for _, rule := range profileRules {
		if rule.of == t {
			rule.check(v, func(path, text string) { found = append(found, warning{rule.kind, path + ": " + text}) })
		}
	}
	return found
}

func healthcareID(name, prefix string) func(string) string {
	return func(value string) string {
		if wrong := fhir.CheckHealthcareIdentifier(value, prefix); wrong != "" {
			return "the " + name + " is wrong: " + wrong
		}
		return ""
	}
}

// identifiers holds the values of the identifiers of a system against a check.
func identifiers(system string, check func(string) string) func(*fastjson.Value, func(path, text string)) {
	return func(v *fastjson.Value, say func(path, text string)) {
		for i, identifier := range v.GetArray("identifier") {
			if !isText(identifier.Get("system"), system) {
				continue
			}
			if wrong := check(string(identifier.GetStringBytes("value"))); wrong != "" {
				say(indexed("identifier", i)+".value", wrong)
			}
		}
	}
}

// hpiiNumbers returns the HPI-I of a Practitioner.
func hpiiNumbers(t fhir.Type, v *fastjson.Value) (values []string) {
	if t != fhir.Practitioner {
		return nil
	}
	for _, identifier := range v.GetArray("identifier") {
		if value := identifier.GetStringBytes("value"); len(value) > 0 && isText(identifier.Get("system"), hpiiSystem) {
			values = append(values, string(value))
		}
	}
	return values
}

func qualificationAhpra(v *fastjson.Value, say func(path, text string)) {
	check := identifiers(ahpraSystem, fhir.CheckAhpraNumber)
	for i, qualification := range v.GetArray("qualification") {
		check(qualification, func(path, text string) { say(indexed("qualification", i)+"."+path, text) })
	}
}

func organisationID(v *fastjson.Value, say func(path, text string)) {
	hpio, hspo := 0, 0
	for _, identifier := range v.GetArray("identifier") {
		if system := identifier.Get("system"); isText(system, hpioSystem) {
			hpio++
		} else if isText(system, hspoSystem) {
			hspo++
		}
	}
	switch {
	case hpio+hspo == 0:
		say("identifier", "there is neither an HPI-O nor an HSP-O")
	case hpio > 0 && hspo > 0:
		say("identifier", "there are both an HPI-O and an HSP-O")
	case hpio+hspo > 1:
		say("identifier", "there is more than one HPI-O or HSP-O")
	}
}

// allowedStatus wants one of the codes. A missing status is let pass: a service coverage
// area need not have one, nor a resource of 0.3.0.
func allowedStatus(allowed ...string) func(*fastjson.Value, func(path, text string)) {
	return func(v *fastjson.Value, say func(path, text string)) {
		if code := v.Get("status"); code != nil && !slices.ContainsFunc(allowed, func(a string) bool { return isText(code, a) }) {
			say("status", "it is none of "+joinWords(allowed))
		}
	}
}

func serviceProvision(v *fastjson.Value, say func(path, text string)) {
	for i, concept := range v.GetArray("serviceProvisionCode") {
		known := slices.ContainsFunc(concept.GetArray("coding"), func(coding *fastjson.Value) bool {
			return slices.Contains(provisionCodes[string(coding.GetStringBytes("system"))], string(coding.GetStringBytes("code")))
		})
		if !known {
			say(indexed("serviceProvisionCode", i), "it is none of NFE, FAP, MIX and BB in their code system")
		}
	}
}

// identifierCodes checks the extensions of identifiers of the HI Service.
func identifierCodes(v *fastjson.Value, say func(path, text string)) {
	for i, identifier := range v.GetArray("identifier") {
		for j, extension := range identifier.GetArray("extension") {
			place := indexed("identifier", i) + "." + indexed("extension", j)
			switch url := extension.Get("url"); {
			case isText(url, hiStatusURL):
				if !isCoding(extension.Get("valueCoding"), hiStatusCodes, "A", "D", "R") {
					say(place, "the status of the identifier is none of A, D and R")
				}
			case isText(url, hiClassURL):
				if !slices.ContainsFunc(extension.GetArray("valueCodeableConcept", "coding"), func(coding *fastjson.Value) bool {
					return isCoding(coding, hiClassCodes, "seed", "network")
				}) {
					say(place, "the classification of the organisation is neither seed nor network")
				}
			}
		}
	}
}

// withoutIncludeSelf returns the places of suppressions that do not say whether they hide
// the Organization itself.
func withoutIncludeSelf(t fhir.Type, v *fastjson.Value) (places []string) {
	if t != fhir.Organization {
		return nil
	}
	for i, extension := range v.GetArray("extension") {
		if !policy.IsSuppression(extension.GetStringBytes("url")) {
			continue
		}
		said := slices.ContainsFunc(extension.GetArray("extension"), func(part *fastjson.Value) bool { return isText(part.Get("url"), "includeSelf") })
		if !said {
			places = append(places, indexed("extension", i))
		}
	}
	return places
}

// suppressionWarnings appends what is wrong with the suppression of a resource. It is
// hidden all the same.
func suppressionWarnings(found []warning, malformed []policy.Malformed, unsaid []string) []warning {
	for _, m := range malformed {
		found = append(found, warning{BadSuppression, m.Path + ": " + m.Text})
	}
	for _, place := range unsaid {
		found = append(found, warning{NoIncludeSelf, place + ": includeSelf is missing; the organisation itself is taken as suppressed"})
	}
	return found
}

func isCoding(coding *fastjson.Value, system string, codes ...string) bool {
	return isText(coding.Get("system"), system) && slices.Contains(codes, string(coding.GetStringBytes("code")))
}

func isText(v *fastjson.Value, text string) bool {
	return v != nil && v.Type() == fastjson.TypeString && string(v.GetStringBytes()) == text
}

// indexed names an item of a list.
func indexed(name string, i int) string { return name + "[" + strconv.Itoa(i) + "]" }

// joinWords joins codes for people: "a, b and c".
func joinWords(codes []string) string {
	text := codes[0]
	for i, code := range codes[1:] {
		if i == len(codes)-2 {
			text += " and " + code
		} else {
			text += ", " + code
		}
	}
	return text
}
