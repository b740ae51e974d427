package policy

import (
	"bytes"
	"slices"
	"strconv"
	"strings"

	"muster/internal/fhir"

	"github.com/valyala/fastjson"
)

// Stripped says what [Strip] has found in a resource.
type Stripped struct {
	Internal bool // it has removed the internal deactivated extension (SU-12)
	Private  bool // it has removed something that a directory may not hold (ST-01)
	// Suppressions counts the URLs of extensions that suppress, wherever they stand in the
	// resource but in its narrative: at its root, in a contained resource, in another
	// extension.
	Suppressions int
}

// Any reports whether something was removed.
func (s Stripped) Any() bool { return s.Internal || s.Private }

// Strip removes from the resource v what the directory may not hold (ST-01..05):
//   - the facts about a person that the table of held.go lists, and, when there was
//     one of them, the narrative too, which may tell it again;
//   - of every type the internal deactivated extension under both its urls, at
//     the root and on active and status (SU-12).
//
// Resources within it, contained or not, are stripped by their own type; what was private
// in them takes the narratives around them along. The suppressed extension
// (SU-08) and the recorded sex or gender (ST-04) stay. Elements are removed
// whatever their shape, so a bad birth date does not keep its resource out
// (ST-02), and what is left empty goes too.
func Strip(t fhir.Type, v *fastjson.Value) Stripped {
	s := Stripped{Internal: stripDeactivated(v)}
	if aboutPerson(t) {
		s.Private = stripElements(v)
	}
	s.members(v)
	if s.Private {
		v.Del("text")
	}
	return s
}

// stripElements removes the elements of the table from a resource about a person, in
// whatever letters their names are written.
func stripElements(v *fastjson.Value) bool {
	var gone []string
	v.GetObject().Visit(func(key []byte, _ *fastjson.Value) {
		if isHeldElement(bytes.TrimPrefix(key, []byte("_"))) {
			gone = append(gone, string(key))
		}
	})
	for _, member := range gone {
		v.Del(member)
	}
	return len(gone) > 0
}

// members walks the members of an object, removes those that are private, and reports
// whether a plain one was: the object tells it then.
func (s *Stripped) members(v *fastjson.Value) (told bool) {
	var gone []string
	v.GetObject().Visit(func(key []byte, member *fastjson.Value) {
		if len(key) >= shortestURL && suppresses(nil, key, nil) {
			s.Suppressions++
		}
		remove := false
		switch member.Type() {
		case fastjson.TypeString:
			remove = s.text(key, member, v)
			told = told || remove
		case fastjson.TypeObject:
			remove = s.object(key, member)
		case fastjson.TypeArray:
			remove = s.items(key, member)
		}
		if remove {
			gone = append(gone, string(key))
		}
	})
	for _, key := range gone {
		v.Del(key)
	}
	return told
}

// items walks the items of an array that stands under key, and reports whether none is
// left because all were removed.
func (s *Stripped) items(key []byte, list *fastjson.Value) (empty bool) {
	items := list.GetArray()
	removed := false
	for i := len(items) - 1; i >= 0; i-- {
		remove := false
		switch items[i].Type() {
		case fastjson.TypeString:
			remove = s.text(key, items[i], nil)
		case fastjson.TypeObject:
			remove = s.object(key, items[i])
		case fastjson.TypeArray: // not FHIR, but nothing hides in it
			remove = s.items(key, items[i])
		}
		if remove {
			list.Del(strconv.Itoa(i))
			removed = true
		}
	}
	return removed && len(list.GetArray()) == 0
}

// text looks at a string that stands under key in parent, and reports whether it is to be
// removed.
func (s *Stripped) text(key []byte, v, parent *fastjson.Value) (remove bool) {
	text := v.GetStringBytes()
	if len(text) < shortestURL || !mayTell(text) {
		return false
	}
	if string(key) != "div" && suppresses(key, text, parent) {
		s.Suppressions++
	}
	remove = heldText(text) != nil
	s.Private = s.Private || remove
	return remove
}

// shortestURL is the least length of a text that can have a URL in it which a rule
// recognises.
const shortestURL = len("medicare-prescriber-number")

// mayTell reports whether a text has the beginning of a word that all those URLs have:
// gender, birth, prescriber or suppressed. Most strings have none, and are not looked at
// any further.
func mayTell(text []byte) bool {
	for i := 0; i+3 <= len(text); i++ {
		switch small(text[i]) {
		case 'g':
			if beginsFold(text[i:], "gen") {
				return true
			}
		case 'b':
			if beginsFold(text[i:], "bir") {
				return true
			}
		case 'p':
			if beginsFold(text[i:], "pre") {
				return true
			}
		case 's':
			if beginsFold(text[i:], "sup") {
				return true
			}
		}
	}
	return false
}

// object walks an object that stands under key, and reports whether it is to be
// removed: it is private itself, or nothing is left of it.
func (s *Stripped) object(key []byte, v *fastjson.Value) (remove bool) {
	if v.Exists("resourceType") || string(key) == "contained" {
		s.resource(v)
		return false
	}
	if isHeldIdentifier(key, v) {
		s.Private = true
		return true
	}
	before := s.Private
	s.Private = false
	told := s.members(v)
	emptied := s.Private && (v.GetObject().Len() == 0 || v.Exists("url") && holdsNothing(v))
	s.Private = s.Private || before
	return told || emptied
}

// resource strips a resource within another one.
func (s *Stripped) resource(v *fastjson.Value) {
	t, _ := fhir.ParseType(string(v.GetStringBytes("resourceType")))
	found := Strip(t, v)
	if found.Suppressions == 1 && isExempt(t, v.Get("extension")) {
		found.Suppressions = 0 // it hides others, not itself
	}
	s.Internal, s.Private, s.Suppressions = s.Internal || found.Internal, s.Private || found.Private, s.Suppressions+found.Suppressions
}

// isHeldIdentifier reports whether an object is an Identifier, as the name of its member
// tells, whose type says that it may not be held.
func isHeldIdentifier(key []byte, v *fastjson.Value) bool {
	if !strings.HasSuffix(strings.ToLower(string(key)), "identifier") {
		return false
	}
	kind := v.Get("type")
	if heldType(nil, kind.GetStringBytes("text")) != nil {
		return true
	}
	return slices.ContainsFunc(kind.GetArray("coding"), func(coding *fastjson.Value) bool {
		return heldType(coding.GetStringBytes("code"), coding.GetStringBytes("display")) != nil
	})
}

// holdsNothing reports whether an extension has neither a value nor parts.
func holdsNothing(extension *fastjson.Value) bool {
	nothing := true
	extension.GetObject().Visit(func(key []byte, _ *fastjson.Value) {
		name := strings.TrimPrefix(string(key), "_")
		nothing = nothing && name != "extension" && !strings.HasPrefix(name, "value")
	})
	return nothing
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
	url := extension.GetStringBytes("url")
	return sameURL(url, DeactivatedURL) || sameURL(url, DeactivatedAliasURL)
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
