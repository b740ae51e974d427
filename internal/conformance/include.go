package conformance

import (
	"fmt"
	"slices"
	"strings"

	"muster/internal/fhir"
)

// Include is one value of _include or _revinclude: a reference parameter of a type. An
// _include follows it from Source to the target, a _revinclude from the target to Source.
type Include struct {
	Source fhir.Type
	Param  Param
	Target fhir.Type // only references to this type are followed; 0 for all targets of the parameter
}

// String returns the value as in the CapabilityStatement, with the target only if it is
// set: "PractitionerRole:practitioner".
func (i Include) String() string {
	if i.Target == 0 {
		return i.Source.String() + ":" + i.Param.Code
	}
	return i.Source.String() + ":" + i.Param.Code + ":" + i.Target.String()
}

// Reaches reports whether the reference can refer to a resource of type t.
func (i Include) Reaches(t fhir.Type) bool {
	if i.Target != 0 {
		return t == i.Target
	}
	return slices.Contains(i.Param.Target, t.String())
}

// Targets returns the types that the reference can refer to.
func (i Include) Targets() []fhir.Type {
	if i.Target != 0 {
		return []fhir.Type{i.Target}
	}
	return i.Param.Targets()
}

// Includes returns the values of _include for a search of type t: every reference
// parameter of the type, in the order of their codes. These are all that the guide lists,
// and those of its examples (TR-02, TR-04).
func (r *Registry) Includes(t fhir.Type) []Include {
	var list []Include
	for _, p := range r.sorted[t] {
		if p.Type == Reference && p.Restricted == "" {
			list = append(list, Include{Source: t, Param: p})
		}
	}
	return list
}

// RevIncludes returns the values of _revinclude for a search of type t: every
// reference parameter of any type that can refer to t, by type and code.
func (r *Registry) RevIncludes(t fhir.Type) []Include {
	var list []Include
	for _, source := range r.Types() {
		for _, i := range r.Includes(source) {
			if i.Reaches(t) {
				list = append(list, i)
			}
		}
	}
	return list
}

// ParseInclude parses Source:parameter or Source:parameter:Target, with any name of the
// parameter (TR-05). The error is the predicate of a sentence whose subject is the value.
// The caller checks whether the include applies to its search.
func (r *Registry) ParseInclude(value string) (Include, error) {
	parts := strings.Split(value, ":")
	if len(parts) != 2 && len(parts) != 3 {
		return Include{}, fmt.Errorf("is not an include: write Type:parameter, such as PractitionerRole:practitioner")
	}
	source, ok := fhir.ParseType(parts[0])
	if !ok {
		return Include{}, fmt.Errorf("begins with %q, which is not a type of this directory: use one of %s", parts[0], fhir.Names(fhir.Types()))
	}
	p, ok := r.Param(source, parts[1])
	if !ok || p.Type != Reference || p.Restricted != "" {
		return Include{}, fmt.Errorf("does not name a reference of %s: use one of %s", source, joinIncludes(r.Includes(source)))
	}
	include := Include{Source: source, Param: p}
	if len(parts) == 2 {
		return include, nil
	}
	target, ok := fhir.ParseType(parts[2])
	if !ok || !include.Reaches(target) {
		return Include{}, fmt.Errorf("ends with %q, which the reference never points to: use one of %s", parts[2], strings.Join(p.Target, ", "))
	}
	include.Target = target
	return include, nil
}

func joinIncludes(list []Include) string {
	names := make([]string, len(list))
	for n, i := range list {
		names[n] = i.String()
	}
	return strings.Join(names, ", ")
}
