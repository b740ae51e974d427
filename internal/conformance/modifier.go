package conformance

import "slices"

// allModifiers are those that a definition may name.
var allModifiers = []string{"contains", "exact", "identifier", "missing", "not"}

// usual are the modifiers that a parameter type takes where the definition of a
// parameter names no others (SR-40, SR-46). Whatever is not here is refused.
var usual = map[ParamType][]string{
	Token:     {"missing", "not"},
	String:    {"contains", "exact", "missing"},
	Date:      {"missing"},
	Reference: {"identifier", "missing"},
	URI:       {"missing"},
	Number:    {"missing"},
	Special:   {"missing"},
}

// Prefixes are the comparison prefixes that values of the parameter may begin with,
// nil if there are none (SR-43, SR-44).
func (p Param) Prefixes() []string {
	switch p.Type {
	case Date:
		return []string{"eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap"}
	case Number:
		return []string{"eq", "ne", "gt", "lt", "ge", "le"}
	}
	return nil
}

// modifiers are those of one parameter: its own, or else the usual ones of its
// type. References take the names of their targets as well. Columns are never
// missing and take none, restricted parameters are refused whatever stands behind.
func modifiers(p Param) []string {
	if p.Column || p.Restricted != "" {
		return nil
	}
	list := slices.Clone(p.Modifiers)
	if list == nil {
		list = slices.Clone(usual[p.Type])
	}
	if p.Type == Reference {
		list = append(list, p.Target...)
	}
	slices.Sort(list)
	return slices.Compact(list)
}
