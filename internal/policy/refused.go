package policy

import (
	"slices"
	"strconv"
	"strings"

	"muster/internal/fhir"
	"muster/internal/search/index"

	"github.com/valyala/fastjson"
)

// A resource that is refused is not stored, and an older version of it stays. That
// version must not be more public than what the source says now, so here is read what a
// damaged resource says, as widely as it can be meant.

// stateCodes are the codes that the status of a Location or an Endpoint has in FHIR.
var stateCodes = []string{"active", "inactive", "suspended", "off", "error", "entered-in-error", "test"}

// hiddenWords are those by which sources say that something is not active.
var hiddenWords = append([]string{
	"false", "f", "no", "n", "0", "disabled", "deactivated", "deleted", "removed", "retired", "closed", "ended", "terminated", "deregistered",
}, stateCodes[1:]...)

// ReadsHidden reports whether a value of active or status, as text, means that the
// resource is not active, in whatever way it is written.
func ReadsHidden(text string) bool {
	word := strings.ToLower(strings.Trim(strings.TrimSpace(text), `"'`))
	if n, err := strconv.ParseFloat(word, 64); err == nil && n == 0 {
		return true
	}
	return slices.Contains(hiddenWords, strings.TrimSpace(word))
}

// SaysHidden returns by which flags the refused resource v says that it is hidden: it
// has a suppression anywhere (SU-01), or an active or status that can be read so.
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

// IsState reports whether a member of a resource says, in whatever letters, whether it is
// active (VI-03).
func IsState(member string) bool {
	return strings.EqualFold(member, activeParam) || strings.EqualFold(member, statusParam)
}

// readsHidden reads a value, and those within it.
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

// mentionsSuppression reports whether the URL of an extension that suppresses stands
// anywhere in v, which stands under key in parent.
func mentionsSuppression(key []byte, v, parent *fastjson.Value) bool {
	if AfterSuppression(key) >= 0 {
		return true
	}
	if v.Type() != fastjson.TypeString {
		return within(key, v, mentionsSuppression)
	}
	text := v.GetStringBytes()
	return AfterSuppression(text) >= 0 && (suppresses(key, text, parent) || !isOldSuppression(text))
}

// suppresses reports whether a string that stands under key in parent has the URL of an
// extension that suppresses in it. The member that holds it may be damaged.
func suppresses(key, text []byte, parent *fastjson.Value) bool {
	return IsSuppression(text) || isOldSuppression(text) && !(string(key) == "url" && saysFalse(parent))
}

// within reports whether something holds for a member or an item of v, which stands
// under key.
func within(key []byte, v *fastjson.Value, holds func(key []byte, inner, parent *fastjson.Value) bool) (found bool) {
	switch v.Type() {
	case fastjson.TypeArray:
		return slices.ContainsFunc(v.GetArray(), func(item *fastjson.Value) bool { return holds(key, item, nil) })
	case fastjson.TypeObject:
		v.GetObject().Visit(func(name []byte, member *fastjson.Value) { found = found || holds(name, member, v) })
	}
	return found
}

// AfterSuppression returns where the first URL of an extension that suppresses ends in a
// text from a resource that cannot be read; -1 if there is none.
func AfterSuppression(text []byte) int {
	end := -1
	for _, name := range []string{suppressedName, suppressedOldName} {
		if at := indexFold(text, name); at >= 0 && (end < 0 || at+len(name) < end) {
			end = at + len(name)
		}
	}
	return end
}

// MisspelledState returns the member that says whether the resource is active and is
// misspelled, and what is wrong with it; both are empty if none is. It is a status that
// reads as a code of FHIR but is not written as one, such as Inactive, or a member that is
// active or status but for its letters. A code that FHIR does not know at all is no spelling
// mistake: such a resource counts as not active.
func MisspelledState(t fhir.Type, v *fastjson.Value) (member, problem string) {
	v.GetObject().Visit(func(key []byte, _ *fastjson.Value) {
		if len(key) != len(activeParam) && len(key) != len(statusParam) {
			return
		}
		if name := string(key); IsState(name) && name != activeParam && name != statusParam {
			member, problem = name, "write active and status in small letters"
		}
	})
	if member != "" {
		return member, problem
	}
	if t != fhir.Location && t != fhir.Endpoint {
		return "", "" // active is a boolean, or has the wrong shape
	}
	said := string(v.GetStringBytes(statusParam))
	meant := func(code string) bool { return strings.EqualFold(said, code) }
	if slices.Contains(stateCodes, said) || !slices.ContainsFunc(append([]string{"true", "false", "1", "0"}, stateCodes...), meant) {
		return "", ""
	}
	return statusParam, "this is not a code of FHIR: write active, inactive or off, in small letters"
}
