package load

import (
	"bytes"

	"github.com/valyala/fastjson"
)

// warnedControls are the control characters that FHIR does not allow in a string and that
// widespread readers accept nevertheless: backspace, vertical tab and form feed. They stay in
// the resource. Other control characters refuse it (strictjson).
const warnedControls = "\b\v\f"

// ControlCharacter is the kind of warning for a string with one of [warnedControls].
const ControlCharacter Kind = "control character in a string"

// controlWarnings returns a warning for each string below v, a value or the name of a
// member, that has one of warnedControls. path is the path of v, empty for a resource.
func controlWarnings(found []warning, path string, v *fastjson.Value) []warning {
	switch v.Type() {
	case fastjson.TypeObject:
		v.GetObject().Visit(func(key []byte, member *fastjson.Value) {
			inner := memberName(key)
			if path != "" {
				inner = path + "." + inner
			}
			if bytes.ContainsAny(key, warnedControls) {
				found = append(found, controlWarning(inner))
			}
			found = controlWarnings(found, inner, member)
		})
	case fastjson.TypeArray:
		for i, item := range v.GetArray() {
			found = controlWarnings(found, indexed(path, i), item)
		}
	case fastjson.TypeString:
		if bytes.ContainsAny(v.GetStringBytes(), warnedControls) {
			found = append(found, controlWarning(path))
		}
	}
	return found
}

func controlWarning(path string) warning {
	return warning{ControlCharacter, path + ": a string has a backspace, a vertical tab or a form feed, which FHIR does not allow: remove it"}
}
