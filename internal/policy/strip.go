package policy

import (
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
	// resource: at its root, in a contained resource, in another extension.
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
// Contained resources are stripped by their own type; what was private in them
// takes the narratives around them along. The suppressed extension
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

// stripElements removes the elements of the table from a resource about a person.
func stripElements(v *fastjson.Value) (stripped bool) {
	for _, f := range notHeld {
		for _, name := range f.elements {
			for _, member := range [...]string{name, "_" + name} {
				if v.Exists(member) {
					v.Del(member)
					stripped = true
				}
			}
		}
	}
	return stripped
}

// members walks the members of an object.
func (s *Stripped) members(v *fastjson.Value) {
	var gone []string
	v.GetObject().Visit(func(key []byte, member *fastjson.Value) {
		switch member.Type() {
		case fastjson.TypeString:
			s.text(key, member, v)
		case fastjson.TypeObject:
			if s.object(key, member) {
				gone = append(gone, string(key))
			}
		case fastjson.TypeArray:
			if s.items(key, member) {
				gone = append(gone, string(key))
			}
		}
	})
	for _, key := range gone {
		v.Del(key)
	}
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
			s.text(key, items[i], nil)
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

// text looks at a string that stands under key in parent.
func (s *Stripped) text(key []byte, v, parent *fastjson.Value) {
	if suppresses(key, v.GetStringBytes(), parent) {
		s.Suppressions++
	}
}

// object walks an object that stands under key, and reports whether it is to be
// removed: it is private itself, or nothing is left of it.
func (s *Stripped) object(key []byte, v *fastjson.Value) (remove bool) {
	if string(key) == "contained" {
		inner, _ := fhir.ParseType(string(v.GetStringBytes("resourceType")))
		found := Strip(inner, v)
		s.Internal, s.Private, s.Suppressions = s.Internal || found.Internal, s.Private || found.Private, s.Suppressions+found.Suppressions
		return false
	}
	url := v.GetStringBytes("url")
	if url != nil && heldExtension(url) != nil || isHeldIdentifier(key, v) {
		s.Private = true
		return true
	}
	before := s.Private
	s.Private = false
	s.members(v)
	emptied := s.Private && (v.GetObject().Len() == 0 || url != nil && holdsNothing(v))
	s.Private = s.Private || before
	return emptied
}

// isHeldIdentifier reports whether an object is an identifier that may not be held. Its
// system tells wherever it stands. The code of its type tells only of an Identifier:
// the name of its member ends so.
func isHeldIdentifier(key []byte, v *fastjson.Value) bool {
	if system := v.GetStringBytes("system"); system != nil && heldIdentifier(system, nil) != nil {
		return true
	}
	if !strings.HasSuffix(strings.ToLower(string(key)), "identifier") {
		return false
	}
	for _, coding := range v.GetArray("type", "coding") {
		if heldIdentifier(nil, coding.GetStringBytes("code")) != nil {
			return true
		}
	}
	return false
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
