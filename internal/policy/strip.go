package policy

import (
	"bytes"
	"slices"
	"strconv"
	"strings"

	"muster/internal/fhir"

	"github.com/valyala/fastjson"
)

// Stripped is what [Strip] has found in a resource.
type Stripped struct {
	Internal bool // Strip removed the internal deactivated extension (SU-12)
	Private  bool // Strip removed something that a directory may not hold (ST-01)
	// Suppressions is the number of URLs of extensions that suppress, anywhere in the
	// resource except in its narrative: at its root, in a contained resource, in another
	// extension.
	Suppressions int
}

// Any reports whether something was removed.
func (s Stripped) Any() bool { return s.Internal || s.Private }

// Strip removes from the resource v what the directory may not hold (ST-01..05):
//   - the facts about a person in the table of held.go, and, if there was one, the
//     narrative, which may repeat it;
//   - from every type the internal deactivated extension under both its URLs, at the root
//     and on active and status (SU-12).
//
// Resources within v, contained or not, are stripped by their own type. If something
// private was in one of them, the narratives around it are removed too. The suppressed
// extension (SU-08) and the recorded sex or gender (ST-04) stay. Elements are removed in any
// shape, so that an invalid birth date does not reject its resource (ST-02). Objects and
// arrays that become empty are removed too.
func Strip(t fhir.Type, v *fastjson.Value) Stripped {
	s := Stripped{Internal: stripDeactivated(v)}
	if aboutPerson(t) {
		s.Private = stripElements(t, v)
	}
	s.members(v)
	if s.Private {
		v.Del("text")
	}
	return s
}

// Removes reports whether [Strip] removes a member of a resource of type t, whatever its
// value, such as the birthDate of a Practitioner.
func Removes(t fhir.Type, member []byte) bool {
	return aboutPerson(t) && isHeldElement(bytes.TrimPrefix(member, []byte("_")))
}

// stripElements removes the elements of the table from a resource about a person, without
// regard to the case of their names.
func stripElements(t fhir.Type, v *fastjson.Value) bool {
	var gone []string
	v.GetObject().Visit(func(key []byte, _ *fastjson.Value) {
		if Removes(t, key) {
			gone = append(gone, string(key))
		}
	})
	for _, member := range gone {
		v.Del(member)
	}
	return len(gone) > 0
}

// members removes the private members of an object, at any depth. It reports whether a
// string was among them, in which case the object itself is private.
func (s *Stripped) members(v *fastjson.Value) (private bool) {
	var gone []string
	v.GetObject().Visit(func(key []byte, member *fastjson.Value) {
		if len(key) >= shortestURL && suppresses(nil, key, nil) {
			s.Suppressions++
		}
		remove := false
		switch member.Type() {
		case fastjson.TypeString:
			remove = s.text(key, member, v)
			private = private || remove
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
	return private
}

// items removes the private items of an array, the member key of its parent, at any depth.
// It reports whether the array became empty.
func (s *Stripped) items(key []byte, list *fastjson.Value) (empty bool) {
	removed := deleteItems(list, func(item *fastjson.Value) bool {
		switch item.Type() {
		case fastjson.TypeString:
			return s.text(key, item, nil)
		case fastjson.TypeObject:
			return s.object(key, item)
		case fastjson.TypeArray: // not valid in FHIR
			return s.items(key, item)
		}
		return false
	})
	return removed && len(list.GetArray()) == 0
}

// deleteItems deletes the matching items of an array and reports whether there were any. Each
// item is moved once, however many are deleted.
func deleteItems(list *fastjson.Value, match func(*fastjson.Value) bool) (deleted bool) {
	items := list.GetArray()
	kept := 0
	for _, item := range items {
		if match(item) {
			continue
		}
		if items[kept] != item {
			list.SetArrayItem(kept, item)
		}
		kept++
	}
	for i := len(items) - 1; i >= kept; i-- {
		list.Del(strconv.Itoa(i))
	}
	return kept < len(items)
}

// text checks a string, the member key of parent, and reports whether it must be removed.
func (s *Stripped) text(key []byte, v, parent *fastjson.Value) (remove bool) {
	text := v.GetStringBytes()
	if len(text) < shortestURL || !mayMatch(text) {
		return false
	}
	if string(key) != "div" && suppresses(key, text, parent) {
		s.Suppressions++
	}
	remove = heldText(text) != nil
	s.Private = s.Private || remove
	return remove
}

// shortestURL is the minimum length of a text that contains a URL to which a rule applies.
const shortestURL = len("medicare-prescriber-number")

// mayMatch reports whether a text contains the beginning of a word of those URLs: gender,
// birth, prescriber or suppressed. Most strings contain none and need no further check.
func mayMatch(text []byte) bool {
	for i := 0; i+3 <= len(text); i++ {
		switch lower(text[i]) {
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

// object strips an object, the member key of its parent, and reports whether it must be
// removed: it is private itself, or it became empty.
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
	private := s.members(v)
	emptied := s.Private && (v.GetObject().Len() == 0 || v.Exists("url") && isEmptyExtension(v))
	s.Private = s.Private || before
	return private || emptied
}

// resource strips a resource within another one.
func (s *Stripped) resource(v *fastjson.Value) {
	t, _ := fhir.ParseType(string(v.GetStringBytes("resourceType")))
	found := Strip(t, v)
	if found.Suppressions == 1 && isExempt(t, v.Get("extension")) {
		found.Suppressions = 0 // it suppresses others, not itself
	}
	s.Internal, s.Private, s.Suppressions = s.Internal || found.Internal, s.Private || found.Private, s.Suppressions+found.Suppressions
}

// isHeldIdentifier reports whether an object is an Identifier, by the name of its member,
// with a type that a directory may not hold.
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

// isEmptyExtension reports whether an extension has neither a value nor parts.
func isEmptyExtension(extension *fastjson.Value) bool {
	empty := true
	extension.GetObject().Visit(func(key []byte, _ *fastjson.Value) {
		name := strings.TrimPrefix(string(key), "_")
		empty = empty && name != "extension" && !strings.HasPrefix(name, "value")
	})
	return empty
}

// stripDeactivated removes the internal extension from the places in which the two
// publications that define it allow it.
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

// removeItems removes the matching items of the array parent.name, and the array if it
// becomes empty.
func removeItems(parent *fastjson.Value, name string, match func(*fastjson.Value) bool) bool {
	list := parent.Get(name)
	if list == nil || list.Type() != fastjson.TypeArray {
		return false
	}
	deleted := deleteItems(list, match)
	if deleted && len(list.GetArray()) == 0 {
		parent.Del(name)
	}
	return deleted
}
