package load

import (
	"bytes"
	"slices"
	"strconv"
	"strings"

	"muster/internal/fhir"
	"muster/internal/humanize"
	"muster/internal/policy"

	"github.com/valyala/fastjson"
)

// The kinds of warnings, as the summary prints them. A resource with warnings is loaded:
// the directory also holds data made for other profiles, and one invalid element must not
// hide the rest of a resource.
const (
	// Rules of FHIR R4.
	UnknownElement Kind = "element not in FHIR R4"
	MissingElement Kind = "mandatory element missing"
	SeveralValues  Kind = "values of several types"
	UnknownCode    Kind = "code not in its value set"
	BadValue       Kind = "value out of range or form"
	BadExtension   Kind = "extension without one value"
	BadPeriod      Kind = "period that ends before it starts"
	LongString     Kind = "string over 1 MB"
	NoContent      Kind = "only an id"
	NotChecked     Kind = "contained resource not checked"
	MoreWarnings   Kind = "more warnings about one resource"

	// Rules of the guide's profiles.
	BadHealthcareID     Kind = "HPI-I, HPI-O or HSP-O not valid"
	BadAhpra            Kind = "Ahpra number not valid"
	NoOrganisationID    Kind = "neither an HPI-O nor an HSP-O"
	BothOrganisationIDs Kind = "both an HPI-O and an HSP-O"
	InactiveID          Kind = "HI identifier not active"
	WrongStatus         Kind = "status not allowed"
	ProfileMissing      Kind = "element missing that its profile requires"
	ProfileExcess       Kind = "more elements than the profile allows"
	RoleSpecialty       Kind = "specialty of a PractitionerRole"
	FurtherRoleCode     Kind = "further role code left out"
	BadSuppression      Kind = "suppression not well-formed"
	NoIncludeSelf       Kind = "suppression without includeSelf"

	// Rules that concern several resources.
	SharedHPII       Kind = "HPI-I of another Practitioner"
	SharedLocalID    Kind = "local identifier of another resource"
	Dangling         Kind = "dangling reference"
	MissingContained Kind = "dangling reference to a contained resource"
	NotFollowed      Kind = "reference not followed"
	HidesNothing     Kind = "reference without an effect on visibility"
)

// Tolerated reports whether a strict load only warns too. The stored resource conforms (its
// suppression is rewritten, an element or a further role code is removed), the guide itself only
// recommends or warns, or the rule concerns other resources.
func (k Kind) Tolerated() bool {
	switch k {
	case BadSuppression, NoIncludeSelf, FurtherRoleCode,
		BothOrganisationIDs, InactiveID,
		SharedHPII, SharedLocalID, Dangling, NotFollowed, HidesNothing,
		BadRemoved, NotEvaluated:
		return true
	}
	return false
}

// strictRefusal returns the refusal of a resource in a strict load, nil if all its warnings
// are tolerated. It has the kind of the first warning and the reasons of the others.
func strictRefusal(warnings []warning) *Refusal {
	var kind Kind
	var reasons []string
	for _, w := range warnings {
		if w.kind.Tolerated() {
			continue
		}
		if kind == "" {
			kind = w.kind
		}
		reasons = append(reasons, w.reason)
	}
	const shown = 5
	if more := len(reasons) - shown; more > 0 {
		reasons = append(reasons[:shown], "and "+strconv.Itoa(more)+" more")
	}
	if kind == "" {
		return nil
	}
	return refuse(kind, "%s", strings.Join(reasons, "; "))
}

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
	hpiiSystem  = policy.HPIISystem
	hpioSystem  = policy.HPIOSystem
	hspoSystem  = policy.HSPOSystem
	ahpraSystem = "http://hl7.org.au/id/ahpra-registration-number"

	hcpdDefinitions = "http://digitalhealth.gov.au/fhir/hcpd/"
	hiStatusURL     = hcpdDefinitions + "StructureDefinition/hi-services-identifier-status"
	hiStatusCodes   = hcpdDefinitions + "CodeSystem/hi-services-identifier-status-cs"
	hiClassURL      = hcpdDefinitions + "StructureDefinition/hi-org-classification"
	hiClassCodes    = hcpdDefinitions + "CodeSystem/hi-org-classification-cs"
)

// profileRules lists the rules with the keys of their invariants. The cardinalities of the
// profiles are a table (cardinality.go). Three more rules concern several resources: SharedHPII
// SharedLocalID and Dangling (crosscheck.go). Suppressions are checked when they are
// converted to their stored form.
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
	// inv-01-identifier-hpi-or-hsp-required
	{fhir.Organization, NoOrganisationID, noOrganisationID},
	// inv-02-identifier-not-both-hpio-hspo as intended, which only warns
	{fhir.Organization, BothOrganisationIDs, bothOrganisationIDs},
	// inv-05-status-values of hcpd-location
	{fhir.Location, WrongStatus, allowedStatus("active", "inactive")},
	// inv-01-status-values of hcpd-endpoint
	{fhir.Endpoint, WrongStatus, allowedStatus("active", "suspended", "off")},
	// required bindings to value sets of the guide itself
	{fhir.HealthcareService, UnknownCode, serviceProvision},
	{fhir.Organization, UnknownCode, identifierCodes},
	{fhir.Practitioner, UnknownCode, identifierCodes},
	// SU-14: only active identifiers should be displayed
	{fhir.Organization, InactiveID, inactiveIdentifiers},
	{fhir.Practitioner, InactiveID, inactiveIdentifiers},
	// OB-03
	{fhir.PractitionerRole, RoleSpecialty, specialty},
	// inv-04-type-or-physicaltype-present
	{fhir.Location, ProfileMissing, locationType},
	// inv-01-address-postalcode-4-digits
	{fhir.Location, BadValue, coveragePostcode},
}

// provisionCodes is the code system of serviceProvisionCode. The two of 0.3.0 were replaced by
// it before.
const provisionCodes = hcpdDefinitions + "CodeSystem/service-provision-cs"

// checkProfile calls report for each rule of the guide's profiles that a resource breaks.
func checkProfile(t fhir.Type, v *fastjson.Value, report func(warning)) {
	for _, rule := range profileRules {
		if rule.of == t {
			rule.check(v, func(path, text string) { report(warning{rule.kind, path + ": " + text}) })
		}
	}
}

// keepFirstCode removes all codes of a PractitionerRole but the first, which is the primary
// role: the service ignores the others (OB-08).
func (c *checker) keepFirstCode(t fhir.Type, v *fastjson.Value) {
	codes := v.GetArray("code")
	if t != fhir.PractitionerRole || len(codes) < 2 {
		return
	}
	for i := len(codes) - 1; i > 0; i-- {
		v.Get("code").Del(strconv.Itoa(i))
	}
	c.add(warning{FurtherRoleCode, "code: only the first code, the primary role, is kept"})
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

// identifierValues returns the values of the identifiers of a resource with the given system.
func identifierValues(v *fastjson.Value, system string) (values []string) {
	for _, identifier := range v.GetArray("identifier") {
		if value := identifier.GetStringBytes("value"); len(value) > 0 && isText(identifier.Get("system"), system) {
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

// organisationIDs reports whether an Organization has an HPI-O and an HSP-O.
func organisationIDs(v *fastjson.Value) (hpio, hspo bool) {
	for _, identifier := range v.GetArray("identifier") {
		system := identifier.Get("system")
		hpio = hpio || isText(system, hpioSystem)
		hspo = hspo || isText(system, hspoSystem)
	}
	return hpio, hspo
}

// noOrganisationID checks that an Organization has an HPI-O or an HSP-O.
func noOrganisationID(v *fastjson.Value, report func(path, text string)) {
	if hpio, hspo := organisationIDs(v); !hpio && !hspo {
		report("identifier", "there is neither an HPI-O nor an HSP-O")
	}
}

// bothOrganisationIDs checks that an Organization does not have both.
func bothOrganisationIDs(v *fastjson.Value, report func(path, text string)) {
	if hpio, hspo := organisationIDs(v); hpio && hspo {
		report("identifier", "there are both an HPI-O and an HSP-O")
	}
}

// allowedStatus returns a check that status is one of the codes. A missing status passes,
// since service coverage areas and resources of version 0.3.0 need not have one.
func allowedStatus(allowed ...string) func(v *fastjson.Value, report func(path, text string)) {
	return func(v *fastjson.Value, report func(path, text string)) {
		if code := v.Get("status"); code != nil && !slices.ContainsFunc(allowed, func(a string) bool { return isText(code, a) }) {
			report("status", "the status is not one of "+humanize.List(allowed, "and"))
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

// inactiveIdentifiers finds identifiers that the HI Service has deactivated or retired.
func inactiveIdentifiers(v *fastjson.Value, report func(path, text string)) {
	for i, identifier := range v.GetArray("identifier") {
		for j, extension := range identifier.GetArray("extension") {
			if isText(extension.Get("url"), hiStatusURL) && isCoding(extension.Get("valueCoding"), hiStatusCodes, "D", "R") {
				report(indexed("identifier", i)+"."+indexed("extension", j), "the identifier is deactivated or retired: only active ones should be displayed")
			}
		}
	}
}

// specialty finds a specialty of a PractitionerRole, which the guide keeps empty.
func specialty(v *fastjson.Value, report func(path, text string)) {
	if v.Exists("specialty") {
		report("specialty", "a PractitionerRole must not have a specialty: leave it out")
	}
}

// locationType checks that a Location other than a coverage area has a type or a physicalType.
func locationType(v *fastjson.Value, report func(path, text string)) {
	if !v.Exists("type") && !v.Exists("physicalType") && !isCoverageArea(v) {
		report("type", "there is neither a type nor a physicalType")
	}
}

// coveragePostcode checks the postcode of a coverage area.
func coveragePostcode(v *fastjson.Value, report func(path, text string)) {
	postcode := v.GetStringBytes("address", "postalCode")
	if len(postcode) == 0 || !isCoverageArea(v) {
		return
	}
	if len(postcode) != 4 || len(bytes.Trim(postcode, "0123456789")) > 0 {
		report("address.postalCode", "the postcode of a coverage area is not four digits")
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

// effectWarnings returns a warning for each reference by which a resource would be hidden with
// another one if it led there (SU-04, SU-05, A-47).
func effectWarnings(t fhir.Type, v *fastjson.Value) (found []warning) {
	for _, element := range policy.WithoutEffect(t, v) {
		found = append(found, warning{HidesNothing, element + ": it is by identifier or leads to a contained resource, so that the suppression or deactivation of that one has no effect here: write Type/id"})
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
