package load

import (
	_ "embed"
	"fmt"
	"strings"

	"github.com/valyala/fastjson"
)

//go:embed shapes.txt
var shapeText string

// shape is what is known of one member of an object.
type shape struct {
	primitive func(*fastjson.Value) string // what is wrong with it, or ""; nil for an object
	object    object                       // its members, when it is an object of a known type
	resource  bool                         // an object whose type stands in resourceType
	many      bool
}

// object maps the members of one FHIR type.
type object map[string]*shape

// shapes maps type names to their members. Read once and never changed.
type shapes map[string]object

// readShapes reads the table of shapes.txt.
func readShapes(text string) (shapes, error) {
	table := shapes{}
	var current object
	type use struct {
		at       *shape
		typeName string
	}
	var uses []use
	for n, line := range strings.Split(text, "\n") {
		if line == "" || line[0] == '#' {
			continue
		}
		if line[0] != ' ' {
			current = object{}
			table[line] = current
			continue
		}
		for _, field := range strings.Fields(line) {
			name, typeName, ok := strings.Cut(field, ":")
			if !ok || current == nil {
				return nil, fmt.Errorf("shapes.txt:%d: %q: write name:type below the name of an object", n+1, field)
			}
			s := &shape{}
			typeName, s.many = strings.CutSuffix(typeName, "*")
			current[name] = s
			uses = append(uses, use{s, typeName})
		}
	}
	for _, u := range uses {
		u.at.primitive = primitives[u.typeName]
		u.at.object = table[u.typeName]
		u.at.resource = u.typeName == "Resource"
		if u.at.primitive == nil && u.at.object == nil && !u.at.resource {
			return nil, fmt.Errorf("shapes.txt: the type %q is used and not described", u.typeName)
		}
	}
	return table, nil
}

// resource checks a whole resource of type t: nothing is empty, what repeats is
// an array and what does not is none, and primitives have their form.
func (s shapes) resource(t string, v *fastjson.Value) *Refusal { return s.members(s[t], v) }

// extension reports whether an extension has the shape of one.
func (s shapes) extension(v *fastjson.Value) bool {
	return v.Type() == fastjson.TypeObject && s.members(s["Extension"], v) == nil
}

// members checks an object; known is nil when its type is not in the table.
func (s shapes) members(known object, v *fastjson.Value) *Refusal {
	o := v.GetObject()
	if o.Len() == 0 {
		return refuse(EmptyElement, "an object without members; leave the element out")
	}
	var refusal *Refusal
	o.Visit(func(key []byte, member *fastjson.Value) {
		if refusal != nil {
			return
		}
		if refusal = s.member(known, o, key, member); refusal != nil {
			refusal = refusal.within(memberName(key))
		}
	})
	return refusal
}

// memberName names a member in a refusal: FHIR names as they are, others not at all,
// since a misplaced value could stand there.
func memberName(key []byte) string {
	for _, b := range key {
		if b != '_' && (b < '0' || b > '9') && (b|0x20 < 'a' || b|0x20 > 'z') {
			return "(a member)"
		}
	}
	if len(key) == 0 || len(key) > 64 {
		return "(a member)"
	}
	return string(key)
}

func (s shapes) member(known object, parent *fastjson.Object, key []byte, v *fastjson.Value) *Refusal {
	if len(key) == 0 {
		return refuse(BadShape, "a member without a name")
	}
	want := known[string(key)]
	if want == nil && key[0] == '_' {
		if base := known[string(key[1:])]; base != nil {
			want = &shape{object: s["Element"], many: base.many}
		}
	}
	if v.Type() != fastjson.TypeArray {
		if want != nil && want.many {
			return refuse(BadShape, "the element repeats: write an array")
		}
		return s.single(want, v)
	}
	if want != nil && !want.many {
		return refuse(BadShape, "the element does not repeat: write one value, no array")
	}
	return s.items(want, parent, key, v.GetArray())
}

// items checks the items of an array. A null keeps the place of a primitive whose
// extensions stand in the sibling array, or the other way round.
func (s shapes) items(want *shape, parent *fastjson.Object, key []byte, items []*fastjson.Value) *Refusal {
	if len(items) == 0 {
		return refuse(EmptyElement, "an array without items; leave the element out")
	}
	var sibling []*fastjson.Value
	if key[0] == '_' {
		sibling = parent.Get(string(key[1:])).GetArray()
	} else if other := parent.Get("_" + string(key)); other != nil {
		sibling = other.GetArray()
	}
	for i, item := range items {
		if item.Type() == fastjson.TypeNull && i < len(sibling) && sibling[i].Type() != fastjson.TypeNull {
			continue
		}
		if r := s.single(want, item); r != nil {
			return r.within(fmt.Sprintf("[%d]", i))
		}
	}
	return nil
}

// single checks one value that is not the array of a repeating element.
func (s shapes) single(want *shape, v *fastjson.Value) *Refusal {
	switch v.Type() {
	case fastjson.TypeNull:
		return refuse(EmptyElement, "null says nothing in FHIR; leave the element out")
	case fastjson.TypeArray:
		return refuse(BadShape, "an array directly in an array")
	case fastjson.TypeString:
		if len(v.GetStringBytes()) == 0 {
			return refuse(EmptyElement, "an empty string; leave the element out")
		}
	case fastjson.TypeObject:
		switch {
		case want == nil:
			return s.members(nil, v)
		case want.primitive != nil:
			return refuse(BadShape, "an object where a plain value belongs")
		case want.resource:
			return s.members(s[string(v.GetStringBytes("resourceType"))], v)
		}
		return s.members(want.object, v)
	}
	if want == nil {
		return nil
	}
	if want.primitive == nil {
		return refuse(BadShape, "a plain value where an object belongs")
	}
	if wrong := want.primitive(v); wrong != "" {
		return refuse(primitiveKind(wrong), "%s", wrong)
	}
	return nil
}
