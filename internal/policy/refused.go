package policy

import (
	"slices"
	"strconv"
	"strings"

	"muster/internal/fhir"
	"muster/internal/search/index"

	"github.com/valyala/fastjson"
)

// A rejected resource is not stored, and its older version stays. That version must not be
// more visible than the source says now, so the functions below read the state of a damaged
// resource, and prefer to read it as hidden.

// stateCodes are the FHIR codes for the status of a Location or an Endpoint.
var stateCodes = []string{"active", "inactive", "suspended", "off", "error", "entered-in-error", "test"}

// hiddenWords are words by which sources state that a resource is not active.
var hiddenWords = append([]string{
	"false", "f", "no", "n", "0", "disabled", "deactivated", "deleted", "removed", "retired", "closed", "ended", "terminated", "deregistered",
}, stateCodes[1:]...)

// ReadsHidden reports whether the text of an active or status means that the resource is
// not active, in any spelling.
func ReadsHidden(text string) bool {
	word := strings.ToLower(strings.Trim(strings.TrimSpace(text), `"'`))
	if n, err := strconv.ParseFloat(word, 64); err == nil && n == 0 {
		return true
	}
	return slices.Contains(hiddenWords, strings.TrimSpace(word))
}

// SaysHidden returns the flags by which the rejected resource v states that it is hidden: it
// contains a suppression anywhere (SU-01), or an active or status that may mean inactive.
func SaysHidden(v *fastjson.Value) (state index.Visibility) {
	if mentionsSuppression(nil, v, nil) {
		state |= index.Suppressed
	}
	v.GetObject().Visit(func(key []byte, member *fastjson.Value) {
		if IsState(string(key)) && readsHidden(member) {
			state |= index.Inactive
		}
	})
	return state
}

// IsState reports whether a member of a resource is its active or status, without regard to
// case (VI-03).
func IsState(member string) bool {
	return strings.EqualFold(member, activeParam) || strings.EqualFold(member, statusParam)
}

// readsHidden reports whether a value, or a value within it, reads as hidden.
func readsHidden(v *fastjson.Value) bool {
	switch v.Type() {
	case fastjson.TypeFalse:
		return true
	case fastjson.TypeString:
		return ReadsHidden(string(v.GetStringBytes()))
	case fastjson.TypeNumber:
		return ReadsHidden(v.String())
	}
	return within(nil, v, func(_ []byte, inner, _ *fastjson.Value) bool { return readsHidden(inner) })
}

// mentionsSuppression reports whether v, the member key of parent, contains the URL of an
// extension that suppresses.
func mentionsSuppression(key []byte, v, parent *fastjson.Value) bool {
	if namesSuppression(key) {
		return true
	}
	if v.Type() != fastjson.TypeString {
		return within(key, v, mentionsSuppression)
	}
	text := v.GetStringBytes()
	return namesSuppression(text) && (suppresses(key, text, parent) || !isOldSuppression(text))
}

// suppresses reports whether a string, the member key of parent, contains the URL of an
// extension that suppresses. The member may be damaged.
func suppresses(key, text []byte, parent *fastjson.Value) bool {
	return IsSuppression(text) || isOldSuppression(text) && !(string(key) == "url" && saysFalse(parent))
}

// within reports whether holds returns true for a member or an item of v, the member key of
// its parent.
func within(key []byte, v *fastjson.Value, holds func(key []byte, inner, parent *fastjson.Value) bool) (found bool) {
	switch v.Type() {
	case fastjson.TypeArray:
		return slices.ContainsFunc(v.GetArray(), func(item *fastjson.Value) bool { return holds(key, item, nil) })
	case fastjson.TypeObject:
		v.GetObject().Visit(func(name []byte, member *fastjson.Value) { found = found || holds(name, member, v) })
	}
	return found
}

// namesSuppression reports whether a text contains the URL of an extension that suppresses.
func namesSuppression(text []byte) bool {
	return indexFold(text, suppressedName) >= 0 || indexFold(text, suppressedOldName) >= 0
}

// AfterSuppressions returns the offset after each URL of an extension that suppresses in the
// text of a resource that cannot be parsed, in ascending order.
func AfterSuppressions(text []byte) (ends []int) {
	for _, name := range []string{suppressedName, suppressedOldName} { // each reads the text once
		for offset := 0; ; {
			at := indexFold(text[offset:], name)
			if at < 0 {
				break
			}
			offset += at + len(name)
			ends = append(ends, offset)
		}
	}
	slices.Sort(ends)
	return ends
}

// MisspelledState returns the misspelled active or status of a resource and what to write
// instead; both are empty if there is none. It is a status that differs from a FHIR code
// only in case, such as Inactive, or a member whose name differs from active or status only
// in case. An unknown code is not a spelling mistake: such a resource counts as not active.
func MisspelledState(t fhir.Type, v *fastjson.Value) (member, problem string) {
	v.GetObject().Visit(func(key []byte, _ *fastjson.Value) {
		if len(key) != len(activeParam) && len(key) != len(statusParam) {
			return
		}
		if name := string(key); IsState(name) && name != activeParam && name != statusParam {
			member, problem = name, "write active and status in lower case"
		}
	})
	if member != "" {
		return member, problem
	}
	if t != fhir.Location && t != fhir.Endpoint {
		return "", "" // active is a boolean, or has the wrong shape
	}
	status := string(v.GetStringBytes(statusParam))
	meant := func(code string) bool { return strings.EqualFold(status, code) }
	if slices.Contains(stateCodes, status) || !slices.ContainsFunc(append([]string{"true", "false", "1", "0"}, stateCodes...), meant) {
		return "", ""
	}
	return statusParam, "this is not a FHIR code: write active, inactive or off, in lower case"
}
