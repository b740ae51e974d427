package load

import (
	"slices"
	"strconv"

	"muster/internal/fhir"
	"muster/internal/policy"

	"github.com/valyala/fastjson"
)

// The kinds of warnings, as the summary prints them. A resource with warnings is loaded:
// the directory also holds data made for other profiles, and one invalid element must not
// hide the rest of a resource.
const (
	BadHealthcareID     Kind = "HPI-I, HPI-O or HSP-O not valid"
	BadAhpra            Kind = "Ahpra number not valid"
	WrongOrganisationID Kind = "not exactly one HPI-O or HSP-O"
	WrongStatus         Kind = "status not allowed"
	UnknownCode         Kind = "code not in its value set"
	BadSuppression      Kind = "suppression not well-formed"
	NoIncludeSelf       Kind = "suppression without includeSelf"
	SharedHPII          Kind = "HPI-I of another Practitioner"
	Dangling            Kind = "dangling reference"
	NotFollowed         Kind = "reference not followed"
)

// warning is a rule that a loaded resource breaks. Like a refusal, its reason names the
// element and never repeats a value.
type warning struct {
	kind   Kind
	reason string
}

// profileRule is one rule of the profiles.
type profileRule struct {
	of    fhir.Type
	kind  Kind
	check func(v *fastjson.Value, report func(path, text string))
}

// Identifier systems and extensions of the rules.
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

// profileRules lists the rules with the keys of their invariants. Two more rules concern
// several resources: SharedHPII and Dangling (crosscheck.go). Suppressions are
// checked when they are converted to their stored form.
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
	// as intended, and identifier[hpio] and identifier[hspo] 0..1
	{fhir.Organization, WrongOrganisationID, organisationID},
	// inv-05-status-values of hcpd-location
	{fhir.Location, WrongStatus, allowedStatus("active", "inactive")},
	// inv-01-status-values of hcpd-endpoint
	{fhir.Endpoint, WrongStatus, allowedStatus("active", "suspended", "off")},
	// required bindings to value sets of the guide itself
	{fhir.HealthcareService, UnknownCode, serviceProvision},
	{fhir.Organization, UnknownCode, identifierCodes},
	{fhir.Practitioner, UnknownCode, identifierCodes},
}

// provisionCodes is the code system of serviceProvisionCode. The two of 0.3.0 were replaced by
// it before.
const provisionCodes = hcpdDefinitions + "CodeSystem/service-provision-cs"

// checkProfile returns the rules of the guide's profiles that a resource breaks.
func checkProfile(t fhir.Type, v *fastjson.Value) (found []warning) {
	for _, rule := range profileRules {
		if rule.of == t {
			rule.check(v, func(path, text string) { found = append(found, warning{rule.kind, path + ": " + text}) })
		}
	}
	return found
}

// healthcareID returns a check for numbers of the Healthcare Identifiers Service.
func healthcareID(name, prefix string) func(string) string {
	return func(value string) string {
		if wrong := fhir.CheckHealthcareIdentifier(value, prefix); wrong != "" {
			return "the " + name + " is not valid: " + wrong
		}
		return ""
	}
}

// identifiers returns a check of the values of all identifiers with the given system.
func identifiers(system string, check func(string) string) func(v *fastjson.Value, report func(path, text string)) {
	return func(v *fastjson.Value, report func(path, text string)) {
		for i, identifier := range v.GetArray("identifier") {
			if !isText(identifier.Get("system"), system) {
				continue
			}
			if wrong := check(string(identifier.GetStringBytes("value"))); wrong != "" {
				report(indexed("identifier", i)+".value", wrong)
			}
		}
	}
}

// hpiiNumbers returns the HPI-I numbers of a Practitioner.
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

// qualificationAhpra checks the Ahpra numbers of qualifications.
func qualificationAhpra(v *fastjson.Value, report func(path, text string)) {
	check := identifiers(ahpraSystem, fhir.CheckAhpraNumber)
	for i, qualification := range v.GetArray("qualification") {
		check(qualification, func(path, text string) { report(indexed("qualification", i)+"."+path, text) })
	}
}

// organisationID checks that an Organization has exactly one HPI-O or HSP-O.
func organisationID(v *fastjson.Value, report func(path, text string)) {
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
		report("identifier", "there is neither an HPI-O nor an HSP-O")
	case hpio > 0 && hspo > 0:
		report("identifier", "there are both an HPI-O and an HSP-O")
	case hpio+hspo > 1:
		report("identifier", "there is more than one HPI-O or HSP-O")
	}
}

// allowedStatus returns a check that status is one of the codes. A missing status passes,
// since service coverage areas and resources of version 0.3.0 need not have one.
func allowedStatus(allowed ...string) func(v *fastjson.Value, report func(path, text string)) {
	return func(v *fastjson.Value, report func(path, text string)) {
		if code := v.Get("status"); code != nil && !slices.ContainsFunc(allowed, func(a string) bool { return isText(code, a) }) {
			report("status", "the status is not one of "+joinWords(allowed))
		}
	}
}

// serviceProvision checks the codes of serviceProvisionCode.
func serviceProvision(v *fastjson.Value, report func(path, text string)) {
	for i, concept := range v.GetArray("serviceProvisionCode") {
		known := slices.ContainsFunc(concept.GetArray("coding"), func(coding *fastjson.Value) bool {
			return isCoding(coding, provisionCodes, "NFE", "FAP", "MIX", "BB")
		})
		if !known {
			report(indexed("serviceProvisionCode", i), "the code is not one of NFE, FAP, MIX and BB in their code system")
		}
	}
}

// identifierCodes checks the codes in extensions of HI Service identifiers.
func identifierCodes(v *fastjson.Value, report func(path, text string)) {
	for i, identifier := range v.GetArray("identifier") {
		for j, extension := range identifier.GetArray("extension") {
			path := indexed("identifier", i) + "." + indexed("extension", j)
			switch url := extension.Get("url"); {
			case isText(url, hiStatusURL):
				if !isCoding(extension.Get("valueCoding"), hiStatusCodes, "A", "D", "R") {
					report(path, "the status of the identifier is not one of A, D and R")
				}
			case isText(url, hiClassURL):
				if !slices.ContainsFunc(extension.GetArray("valueCodeableConcept", "coding"), func(coding *fastjson.Value) bool {
					return isCoding(coding, hiClassCodes, "seed", "network")
				}) {
					report(path, "the classification of the organisation is neither seed nor network")
				}
			}
		}
	}
}

// withoutIncludeSelf returns the paths of suppressions that do not say whether they hide the
// Organization itself.
func withoutIncludeSelf(t fhir.Type, v *fastjson.Value) (paths []string) {
	if t != fhir.Organization {
		return nil
	}
	for i, extension := range v.GetArray("extension") {
		if !policy.IsSuppression(extension.GetStringBytes("url")) {
			continue
		}
		found := slices.ContainsFunc(extension.GetArray("extension"), func(part *fastjson.Value) bool { return isText(part.Get("url"), "includeSelf") })
		if !found {
			paths = append(paths, indexed("extension", i))
		}
	}
	return paths
}

// suppressionWarnings appends the warnings about the suppression of a resource. The
// resource is hidden in any case.
func suppressionWarnings(found []warning, malformed []policy.Malformed, incomplete []string) []warning {
	for _, m := range malformed {
		found = append(found, warning{BadSuppression, m.Path + ": " + m.Text})
	}
	for _, path := range incomplete {
		found = append(found, warning{NoIncludeSelf, path + ": includeSelf is missing: the organisation itself is treated as suppressed"})
	}
	return found
}

// isCoding reports whether a coding has the system and one of the codes.
func isCoding(coding *fastjson.Value, system string, codes ...string) bool {
	return isText(coding.Get("system"), system) && slices.Contains(codes, string(coding.GetStringBytes("code")))
}

// isText reports whether v is the given string.
func isText(v *fastjson.Value, text string) bool {
	return v != nil && v.Type() == fastjson.TypeString && string(v.GetStringBytes()) == text
}

// indexed returns the path of an item: "identifier[2]".
func indexed(name string, i int) string { return name + "[" + strconv.Itoa(i) + "]" }

// joinWords joins codes for a message: "a, b and c".
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
