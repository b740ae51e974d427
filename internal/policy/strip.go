package policy

import (
	"strconv"

	"muster/internal/fhir"

	"github.com/valyala/fastjson"
)

// Facts about a Practitioner that the directory neither stores nor serves (ST-01).
var (
	strippedElements = []string{"gender", "_gender", "birthDate", "_birthDate", "photo", "address"}

	strippedExtensions = map[string]bool{
		"http://hl7.org/fhir/StructureDefinition/individual-genderIdentity": true,
		"http://hl7.org/fhir/StructureDefinition/patient-genderIdentity":    true,
	}
)

// Strip removes from the resource v what the directory may not hold, and reports
// whether there was any of it (ST-01..05):
//   - of a Practitioner gender, birth date, photo, address, gender identity and
//     prescriber identifiers, and, when there was one of them, the narrative
//     too, which would tell it again;
//   - of every type the internal deactivated extension under both its urls, at
//     the root and on active and status (SU-12).
//
// Contained resources are stripped by their own type; what was private in them
// takes the narratives around them along. The suppressed extension
// (SU-08) and the recorded sex or gender (ST-04) stay. Elements are removed
// whatever their shape, so a bad birth date does not keep its resource out
// (ST-02).
func Strip(t fhir.Type, v *fastjson.Value) bool {
	internal, private := strip(t, v)
	return internal || private
}

// strip reports apart whether there was something internal, which a narrative does
// not tell, and something private, which it may.
func strip(t fhir.Type, v *fastjson.Value) (internal, private bool) {
	internal = stripDeactivated(v)
	private = t == fhir.Practitioner && stripPractitioner(v)
	for _, contained := range v.GetArray("contained") {
		inner, _ := fhir.ParseType(string(contained.GetStringBytes("resourceType")))
		i, p := strip(inner, contained)
		internal, private = internal || i, private || p
	}
	if private {
		v.Del("text")
	}
	return internal, private
}

// stripPractitioner removes the private facts, but not the narrative.
func stripPractitioner(v *fastjson.Value) bool {
	stripped := false
	for _, name := range strippedElements {
		if v.Exists(name) {
			v.Del(name)
			stripped = true
		}
	}
	stripped = removeItems(v, "extension", func(e *fastjson.Value) bool {
		return strippedExtensions[string(e.GetStringBytes("url"))]
	}) || stripped
	stripped = removeItems(v, "identifier", holdsPrescriber) || stripped
	for _, qualification := range v.GetArray("qualification") {
		stripped = removeItems(qualification, "identifier", holdsPrescriber) || stripped
	}
	return stripped
}

// holdsPrescriber recognises a PBS prescriber identifier by its system or its type.
func holdsPrescriber(identifier *fastjson.Value) bool {
	if isPrescriber(string(identifier.GetStringBytes("system")), "") {
		return true
	}
	for _, coding := range identifier.GetArray("type", "coding") {
		if isPrescriber("", string(coding.GetStringBytes("code"))) {
			return true
		}
	}
	return false
}

// stripDeactivated removes the internal extension wherever the two texts that
// describe it put it.
func stripDeactivated(v *fastjson.Value) bool {
	stripped := removeItems(v, "extension", isDeactivated)
	for _, name := range []string{"_active", "_status"} {
		element := v.Get(name)
		if !removeItems(element, "extension", isDeactivated) {
			continue
		}
		stripped = true
		if o, err := element.Object(); err == nil && o.Len() == 0 {
			v.Del(name)
		}
	}
	return stripped
}

func isDeactivated(extension *fastjson.Value) bool {
	url := string(extension.GetStringBytes("url"))
	return url == DeactivatedURL || url == DeactivatedAliasURL
}

// removeItems drops the items of the array parent.name that match, and the array
// when nothing is left of it.
func removeItems(parent *fastjson.Value, name string, match func(*fastjson.Value) bool) bool {
	list := parent.Get(name)
	if list == nil || list.Type() != fastjson.TypeArray {
		return false
	}
	before := len(list.GetArray())
	for i := before - 1; i >= 0; i-- {
		if match(list.GetArray()[i]) {
			list.Del(strconv.Itoa(i))
		}
	}
	after := len(list.GetArray())
	if after == 0 && before > 0 {
		parent.Del(name)
	}
	return after < before
}
