package load

import (
	"muster/internal/fhir"
	"muster/internal/policy"

	"github.com/valyala/fastjson"
)

// BadRemoved is the kind of warning for an element that is not valid and that the directory
// removes in any case, such as the birthDate of a Practitioner (ST-02).
const BadRemoved Kind = "removed element not valid"

// removed returns a warning for each element that is not valid and that [policy.Strip]
// removes from a resource of type t, or from one contained in it.
func (c *checker) removed(t fhir.Type, v *fastjson.Value) []warning {
	c.path, c.values = c.path[:0], 0
	return c.appendRemoved(nil, t, v)
}

// appendRemoved appends the warnings about a resource at the current path.
func (c *checker) appendRemoved(found []warning, t fhir.Type, v *fastjson.Value) []warning {
	depth := len(c.path)
	o := v.GetObject()
	o.Visit(func(key []byte, member *fastjson.Value) {
		if !policy.Removes(t, key) {
			return
		}
		c.path = append(c.path, step{key, -1})
		if r := c.member(c.shapes[t.String()], o, key, member, &presence{}); r != nil {
			found = append(found, warning{BadRemoved, r.Error() + " (the element was removed, since the directory does not hold it)"})
		}
		c.path = c.path[:depth]
	})
	for i, contained := range v.GetArray("contained") {
		inner, ok := fhir.ParseType(string(contained.GetStringBytes("resourceType")))
		if !ok || contained.Type() != fastjson.TypeObject {
			continue
		}
		c.path = append(c.path, step{[]byte("contained"), i})
		found = c.appendRemoved(found, inner, contained)
		c.path = c.path[:depth]
	}
	return found
}
