package conformance

import "slices"

// allModifiers are those that a definition may name.
var allModifiers = []string{"contains", "exact", "identifier", "missing", "not"}

// defaultModifiers are the modifiers of a parameter whose definition does not list its own
// (SR-40, SR-46). Other modifiers are refused.
var defaultModifiers = map[ParamType][]string{
	Token:     {"missing", "not"},
	String:    {"contains", "exact", "missing"},
	Date:      {"missing"},
	Reference: {"identifier", "missing"},
	URI:       {"missing"},
	Number:    {"missing"},
	Special:   {"missing"},
}

// Prefixes returns the comparison prefixes of the parameter's values, nil if there are none
// (SR-43, SR-44).
func (p Param) Prefixes() []string {
	switch p.Type {
	case Date:
		return []string{"eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap"}
	case Number:
		return []string{"eq", "ne", "gt", "lt", "ge", "le"}
	}
	return nil
}

// modifiers returns the modifiers of a parameter: its own, or the defaults of its type.
// References also take the names of their targets. Columns are never missing and take none.
// Restricted parameters are refused with any modifier.
func modifiers(p Param) []string {
	if p.Column || p.Restricted != "" {
		return nil
	}
	list := slices.Clone(p.Modifiers)
	if list == nil {
		list = slices.Clone(defaultModifiers[p.Type])
	}
	if p.Type == Reference {
		list = append(list, p.Target...)
	}
	slices.Sort(list)
	return slices.Compact(list)
}
