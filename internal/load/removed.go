package load

import (
	"fmt"

	"muster/internal/fhir"
	"muster/internal/policy"

	"github.com/valyala/fastjson"
)

// BadRemoved is the kind of warning for an element that is not valid and that the directory
// removes in any case, such as the birthDate of a Practitioner (ST-02).
const BadRemoved Kind = "removed element not valid"

// removed returns a warning for each element that is not valid and that [policy.Strip]
// removes from a resource of type t, or from one contained in it.
func (s shapes) removed(t fhir.Type, v *fastjson.Value) (found []warning) {
	o := v.GetObject()
	o.Visit(func(key []byte, member *fastjson.Value) {
		if !policy.Removes(t, key) {
			return
		}
		if r := s.member(s[t.String()], o, key, member); r != nil {
			found = append(found, warning{BadRemoved, r.within(memberName(key)).Error() + " (the element was removed, since the directory does not hold it)"})
		}
	})
	for i, contained := range v.GetArray("contained") {
		inner, ok := fhir.ParseType(string(contained.GetStringBytes("resourceType")))
		if !ok || contained.Type() != fastjson.TypeObject {
			continue
		}
		for _, w := range s.removed(inner, contained) {
			found = append(found, warning{w.kind, fmt.Sprintf("contained[%d].%s", i, w.reason)})
		}
	}
	return found
}
