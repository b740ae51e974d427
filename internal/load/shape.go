package load

import (
	"fmt"
	"strconv"
	"strings"

	"muster/internal/fhir"
	"muster/internal/humanize"
	"muster/internal/r4"

	"github.com/valyala/fastjson"
)

// shape describes one member of an object.
type shape struct {
	primitive func(*fastjson.Value) string // returns what is wrong with a value, or ""; nil for an object
	rule      valueRule                    // may warn about a value of a primitive type; nil if it never does
	object    *object                      // the members of an object of a known type
	resource  bool                         // the member is an object whose resourceType is its type
	many      bool                         // the element repeats
	codes     map[string]bool              // the codes of a required binding; nil if there is none
	allowed   string                       // the codes in words

	mandatory uint64 // the bit of the element in object.mandatory, or 0
	choice    int    // the number of the choice among those of the object, from 1, or 0
	option    int    // the number of the member within its choice, from 1
}

// object describes the members of one FHIR type.
type object struct {
	members   map[string]*shape
	mandatory []string // the names of the elements that must be present, by the bits of [shape].mandatory
	invariant invariant
}

// shapes maps type names to their members. It is immutable after readShapes.
type shapes map[string]*object

// maxChoices is the maximum number of choices in one type.
const maxChoices = 2

// readShapes compiles the tables of package r4.
func readShapes() (shapes, error) {
	tables, err := r4.Load()
	if err != nil {
		return nil, err
	}
	compiled := shapes{}
	for name := range tables.Elements {
		compiled[name] = &object{members: map[string]*shape{}, invariant: invariants[name]}
	}
	for name, elements := range tables.Elements {
		of := compiled[name]
		choices := 0
		for _, e := range elements {
			common := shape{many: e.Many}
			if e.Min > 0 {
				common.mandatory = 1 << len(of.mandatory)
				of.mandatory = append(of.mandatory, e.Name)
			}
			if e.Choice {
				choices++
				common.choice = choices
			}
			for i, typeName := range e.Types {
				s := common
				member := e.Name
				if e.Choice {
					s.option = i + 1
					member += strings.ToUpper(typeName[:1]) + typeName[1:]
				}
				if err := compiled.add(of, name, member, typeName, e, s); err != nil {
					return nil, err
				}
			}
		}
		if choices > maxChoices || len(of.mandatory) > 64 {
			return nil, fmt.Errorf("the type %s has more choices or mandatory elements than the loader can check", name)
		}
	}
	for name, of := range compiled {
		if of.members["resourceType"] == nil && of.members["meta"] != nil && !strings.Contains(name, ".") {
			of.members["resourceType"] = &shape{primitive: checkString}
		}
	}
	return compiled, nil
}

// add adds a member, and the member with the extensions of a primitive.
func (s shapes) add(of *object, parent, member, typeName string, e r4.Element, one shape) error {
	one.primitive, one.rule = primitives[typeName], valueRules[typeName]
	one.object, one.resource = s[typeName], typeName == "Resource"
	if parent == "Reference" && member == "reference" {
		one.primitive = checkReference
	}
	if one.primitive == nil && one.object == nil && !one.resource {
		return fmt.Errorf("the type %s of %s.%s is not known", typeName, parent, member)
	}
	if e.Codes != nil {
		one.codes = map[string]bool{}
		for _, code := range e.Codes {
			one.codes[code] = true
		}
		one.allowed = "the code is not in the value set " + e.ValueSet + ", as FHIR R4 requires"
		if len(e.Codes) <= 10 {
			one.allowed = "the code is not one of " + humanize.List(e.Codes, "and") + ", as FHIR R4 requires"
		}
	}
	of.members[member] = &one
	if one.primitive != nil {
		extended := shape{object: s["Element"], many: one.many, mandatory: one.mandatory, choice: one.choice, option: one.option}
		of.members["_"+member] = &extended
	}
	return nil
}

// extension reports whether v has the shape of an extension.
func (s shapes) extension(v *fastjson.Value) bool {
	return v.Type() == fastjson.TypeObject && (&checker{shapes: s}).members(s["Extension"], v) == nil
}

// checker checks resources against FHIR R4. It reuses its buffers, so it serves one goroutine.
type checker struct {
	shapes   shapes
	path     []step
	warnings []warning
	left     int // warnings beyond maxWarnings
	values   int // in the resource, so far
}

// step is a member on the path to the value that is being checked.
type step struct {
	name []byte
	item int // in an array, or -1
}

// presence is what an object was seen to have.
type presence struct {
	mandatory uint64
	options   [maxChoices]int // of each choice
}

// resource checks a whole resource of type t. It refuses empty elements, arrays where an
// element does not repeat, single values where it does, and invalid primitives. The other
// rules of FHIR R4 are warnings, which it appends to c.warnings.
func (c *checker) resource(t string, v *fastjson.Value) *Refusal {
	c.path, c.warnings, c.left, c.values = c.path[:0], nil, 0, 0
	return c.members(c.shapes[t], v)
}

// maxWarnings is the maximum number of warnings about one resource. It bounds the memory that
// a hostile one can use.
const maxWarnings = 50

// warn appends a warning about an element below the current path.
func (c *checker) warn(kind Kind, below, text string) {
	if len(c.path) == 0 {
		c.add(warning{kind, below + ": " + text})
		return
	}
	c.add(warning{kind, c.pathOf(below) + ": " + text})
}

// add appends a warning.
func (c *checker) add(w warning) {
	if len(c.warnings) < maxWarnings {
		c.warnings = append(c.warnings, w)
		return
	}
	c.left++
}

// found returns the warnings about the resource.
func (c *checker) found() []warning {
	if c.left == 0 {
		return c.warnings
	}
	return append(c.warnings, warning{MoreWarnings, strconv.Itoa(c.left) + " more warnings about this resource are left out"})
}

// pathOf returns the FHIRPath of an element below the current path.
func (c *checker) pathOf(below string) string {
	var b strings.Builder
	for _, s := range c.path {
		if b.Len() > 0 {
			b.WriteByte('.')
		}
		b.WriteString(memberName(s.name))
		if s.item >= 0 {
			b.WriteString("[" + strconv.Itoa(s.item) + "]")
		}
	}
	if b.Len() > 0 && below != "" {
		b.WriteByte('.')
	}
	return b.String() + below
}

// refuse returns a refusal of the current path.
func (c *checker) refuse(kind Kind, text string) *Refusal {
	return &Refusal{Kind: kind, Path: c.pathOf(""), Text: text}
}

// members checks an object. known is nil if its type is not in the table.
func (c *checker) members(known *object, v *fastjson.Value) *Refusal {
	o := v.GetObject()
	if o.Len() == 0 {
		return c.refuse(EmptyElement, "an object without members: leave the element out")
	}
	var refusal *Refusal
	var seen presence
	o.Visit(func(key []byte, member *fastjson.Value) {
		if refusal != nil {
			return
		}
		c.path = append(c.path, step{key, -1})
		refusal = c.member(known, o, key, member, &seen)
		c.path = c.path[:len(c.path)-1]
	})
	if refusal != nil || known == nil {
		return refusal
	}
	for bit, name := range known.mandatory {
		if seen.mandatory&(1<<bit) == 0 {
			c.warn(MissingElement, name, "the element is mandatory in FHIR R4: write it, or its data-absent-reason")
		}
	}
	if known.invariant != nil {
		known.invariant(c, v, seen)
	}
	return nil
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

// member checks one member of parent, and notes what it is.
func (c *checker) member(known *object, parent *fastjson.Object, key []byte, v *fastjson.Value, seen *presence) *Refusal {
	if len(key) == 0 {
		return c.refuse(BadShape, "a member with an empty name: name it or leave it out")
	}
	var want *shape
	if known != nil {
		if want = known.members[string(key)]; want == nil {
			c.warn(UnknownElement, "", "FHIR R4 has no such element here: other readers refuse or ignore it")
		} else {
			c.note(want, seen)
		}
	}
	if v.Type() != fastjson.TypeArray {
		if want != nil && want.many {
			return c.refuse(BadShape, "the element repeats: write an array")
		}
		return c.single(want, v)
	}
	if want != nil && !want.many {
		return c.refuse(BadShape, "the element does not repeat: write one value, not an array")
	}
	return c.items(want, parent, key, v.GetArray())
}

// note notes the presence of a member. The extensions of a primitive, such as a
// data-absent-reason, make the element present (OB-07).
func (c *checker) note(want *shape, seen *presence) {
	seen.mandatory |= want.mandatory
	if want.choice == 0 {
		return
	}
	before := &seen.options[want.choice-1]
	if *before != 0 && *before != want.option {
		c.warn(SeveralValues, "", "the element has a value of another type already: write one")
	}
	*before = want.option
}

// items checks the items of an array. A null is allowed where the sibling array, with the
// extensions of primitives or with the primitives themselves, has a value.
func (c *checker) items(want *shape, parent *fastjson.Object, key []byte, items []*fastjson.Value) *Refusal {
	if len(items) == 0 {
		return c.refuse(EmptyElement, "an array without items: leave the element out")
	}
	var sibling []*fastjson.Value
	if key[0] == '_' {
		sibling = parent.Get(string(key[1:])).GetArray()
	} else if other := parent.Get("_" + string(key)); other != nil {
		sibling = other.GetArray()
	}
	last := len(c.path) - 1
	for i, item := range items {
		if item.Type() == fastjson.TypeNull && i < len(sibling) && sibling[i].Type() != fastjson.TypeNull {
			continue
		}
		c.path[last].item = i
		if r := c.single(want, item); r != nil {
			return r
		}
	}
	c.path[last].item = -1
	return nil
}

// single checks one value: an element that does not repeat, or an item of one that does.
func (c *checker) single(want *shape, v *fastjson.Value) *Refusal {
	if c.values++; c.values > MaxValues {
		return c.refuse(TooLarge, tooManyValues)
	}
	switch v.Type() {
	case fastjson.TypeNull:
		return c.refuse(EmptyElement, "null is not a value in FHIR: leave the element out")
	case fastjson.TypeArray:
		return c.refuse(BadShape, "an array inside an array: write the items in one array")
	case fastjson.TypeString:
		if len(v.GetStringBytes()) == 0 {
			return c.refuse(EmptyElement, "an empty string: leave the element out")
		}
	case fastjson.TypeObject:
		switch {
		case want == nil:
			return c.members(nil, v)
		case want.primitive != nil:
			return c.refuse(BadShape, "this is an object: write a primitive value")
		case want.resource:
			return c.contained(v)
		}
		return c.members(want.object, v)
	}
	if want == nil {
		return nil
	}
	if want.primitive == nil {
		return c.refuse(BadShape, "this is a primitive value: write an object")
	}
	if wrong := want.primitive(v); wrong != "" {
		return c.refuse(primitiveKind(wrong), wrong)
	}
	if want.codes != nil && !want.codes[string(v.GetStringBytes())] {
		c.warn(UnknownCode, "", want.allowed)
	}
	if want.rule != nil {
		if kind, wrong := want.rule(v); wrong != "" {
			c.warn(kind, "", wrong)
		}
	}
	return nil
}

// contained checks a contained resource. Of a type outside the directory, only emptiness is
// checked, and a warning says so.
func (c *checker) contained(v *fastjson.Value) *Refusal {
	t := v.GetStringBytes("resourceType")
	if len(t) == 0 {
		c.warn(MissingElement, "resourceType", "a contained resource must name its type")
	}
	known := c.shapes[string(t)]
	if known != nil && known.members["resourceType"] == nil {
		known = nil // the name of a datatype
	}
	if known == nil && len(t) > 0 {
		c.warn(NotChecked, "", "the elements of a contained resource are checked only if it is one of "+fhir.Names(fhir.Types()))
	}
	return c.members(known, v)
}
