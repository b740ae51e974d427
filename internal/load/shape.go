package load

import (
	_ "embed"
	"fmt"
	"strings"

	"github.com/valyala/fastjson"
)

//go:embed shapes.txt
var shapeText string

// shape describes one member of an object.
type shape struct {
	primitive func(*fastjson.Value) string // returns what is wrong with a value, or ""; nil for an object
	object    object                       // the members of an object of a known type
	resource  bool                         // the member is an object whose resourceType is its type
	many      bool                         // the element repeats
}

// object maps the members of one FHIR type.
type object map[string]*shape

// shapes maps type names to their members. It is immutable after readShapes.
type shapes map[string]object

// readShapes reads the table of shapes.txt.
func readShapes(text string) (shapes, error) {
	table := shapes{}
	var current object
	type use struct {
		by       *shape
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
		u.by.primitive = primitives[u.typeName]
		u.by.object = table[u.typeName]
		u.by.resource = u.typeName == "Resource"
		if u.by.primitive == nil && u.by.object == nil && !u.by.resource {
			return nil, fmt.Errorf("shapes.txt: the type %q is used but not described: add it", u.typeName)
		}
	}
	return table, nil
}

// resource checks a whole resource of type t: no element is empty, exactly the elements that
// repeat are arrays, and primitives are valid.
func (s shapes) resource(t string, v *fastjson.Value) *Refusal { return s.members(s[t], v) }

// extension reports whether v has the shape of an extension.
func (s shapes) extension(v *fastjson.Value) bool {
	return v.Type() == fastjson.TypeObject && s.members(s["Extension"], v) == nil
}

// members checks an object. known is nil if its type is not in the table.
func (s shapes) members(known object, v *fastjson.Value) *Refusal {
	o := v.GetObject()
	if o.Len() == 0 {
		return refuse(EmptyElement, "an object without members: leave the element out")
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

// memberName returns the name of a member for a refusal. Names that cannot be FHIR's are not
// repeated, since they may be misplaced values.
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

// member checks one member of parent.
func (s shapes) member(known object, parent *fastjson.Object, key []byte, v *fastjson.Value) *Refusal {
	if len(key) == 0 {
		return refuse(BadShape, "a member with an empty name: name it or leave it out")
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
		return refuse(BadShape, "the element does not repeat: write one value, not an array")
	}
	return s.items(want, parent, key, v.GetArray())
}

// items checks the items of an array. A null is allowed where the sibling array, with the
// extensions of primitives or with the primitives themselves, has a value.
func (s shapes) items(want *shape, parent *fastjson.Object, key []byte, items []*fastjson.Value) *Refusal {
	if len(items) == 0 {
		return refuse(EmptyElement, "an array without items: leave the element out")
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

// single checks one value: an element that does not repeat, or an item of one that does.
func (s shapes) single(want *shape, v *fastjson.Value) *Refusal {
	switch v.Type() {
	case fastjson.TypeNull:
		return refuse(EmptyElement, "null is not a value in FHIR: leave the element out")
	case fastjson.TypeArray:
		return refuse(BadShape, "an array inside an array: write the items in one array")
	case fastjson.TypeString:
		if len(v.GetStringBytes()) == 0 {
			return refuse(EmptyElement, "an empty string: leave the element out")
		}
	case fastjson.TypeObject:
		switch {
		case want == nil:
			return s.members(nil, v)
		case want.primitive != nil:
			return refuse(BadShape, "this is an object: write a primitive value")
		case want.resource:
			return s.members(s[string(v.GetStringBytes("resourceType"))], v)
		}
		return s.members(want.object, v)
	}
	if want == nil {
		return nil
	}
	if want.primitive == nil {
		return refuse(BadShape, "this is a primitive value: write an object")
	}
	if wrong := want.primitive(v); wrong != "" {
		return refuse(primitiveKind(wrong), "%s", wrong)
	}
	return nil
}
