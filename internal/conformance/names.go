package conformance

import (
	"bytes"
	_ "embed" // for the names
	"encoding/json"
	"fmt"
	"sync"
)

//go:embed definitions/names.json
var nameText []byte

// names is the table of systems and canonicals with several names, by alias.
type names struct {
	systems    map[string]system
	canonicals map[string]string
}

// system is what the table says of an alias of a code or identifier system.
type system struct {
	name  string
	old   bool // the alias is the name in version 0.3.0 of the guide
	codes map[string]Code
}

// Code is the present form of a code that was renamed with its system.
type Code struct {
	Code    string
	Display string // empty if the display of a source stays
}

// nameTable is the table, which is parsed once.
var nameTable = sync.OnceValues(func() (names, error) { return parseNames(nameText) })

// SystemName returns the name under which entries hold a code or identifier system: s
// itself, unless s is an alias in the table. Package index applies it to entries
// and queries, so that a query with an old name finds a resource with the new one, and the
// reverse.
func SystemName(s string) string {
	if known, ok := otherNames().systems[s]; ok {
		return known.name
	}
	return s
}

// CanonicalName returns the name of a canonical without a version in version 26.0.0 of the
// guide: s itself, unless s is its name in 0.3.0.
func CanonicalName(s string) string {
	if name, ok := otherNames().canonicals[s]; ok {
		return name
	}
	return s
}

// NewCode returns the present form of a code of a system. It reports whether the code was
// renamed.
func NewCode(system, code string) (Code, bool) {
	c, ok := otherNames().systems[system].codes[code]
	return c, ok
}

// NewSystem returns the name in version 26.0.0 of the guide of a system of 0.3.0. It
// reports whether s is one. Other aliases are in use.
func NewSystem(s []byte) (name string, old bool) {
	known := otherNames().systems[string(s)]
	return known.name, known.old
}

// NewCanonical returns the name in version 26.0.0 of the guide of a canonical of 0.3.0 without
// a version. It reports whether s is one.
func NewCanonical(s []byte) (name string, old bool) {
	name, old = otherNames().canonicals[string(s)]
	return name, old
}

// otherNames returns the table, an empty one if it is invalid: then [Load] fails.
func otherNames() names {
	table, err := nameTable()
	if err != nil {
		return names{}
	}
	return table
}

// systemAliases returns the aliases of systems (alias → name).
func (n names) systemAliases() map[string]string {
	aliases := map[string]string{}
	for alias, s := range n.systems {
		aliases[alias] = s.name
	}
	return aliases
}

// parseNames parses the table. It returns an error for duplicate aliases and for aliases of
// aliases.
func parseNames(text []byte) (names, error) {
	var file struct {
		Systems []struct {
			Alias  string `json:"alias"`
			System string `json:"system"`
			Old    bool   `json:"old"`
			Codes  []struct {
				Alias   string `json:"alias"`
				Code    string `json:"code"`
				Display string `json:"display"`
			} `json:"codes"`
		} `json:"systems"`
		Canonicals []struct {
			Alias     string `json:"alias"`
			Canonical string `json:"canonical"`
		} `json:"canonicals"`
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&file); err != nil {
		return names{}, err
	}
	table := names{map[string]system{}, map[string]string{}}
	aliases := map[string]string{}
	add := func(alias, name string) error {
		if _, taken := aliases[alias]; taken || alias == "" || name == "" {
			return fmt.Errorf("alias %q is duplicate or incomplete: keep one line with both names", alias)
		}
		aliases[alias] = name
		return nil
	}
	for _, s := range file.Systems {
		if err := add(s.Alias, s.System); err != nil {
			return names{}, err
		}
		codes := map[string]Code{}
		for _, c := range s.Codes {
			codes[c.Alias] = Code{c.Code, c.Display}
		}
		table.systems[s.Alias] = system{s.System, s.Old, codes}
	}
	for _, c := range file.Canonicals {
		if err := add(c.Alias, c.Canonical); err != nil {
			return names{}, err
		}
		table.canonicals[c.Alias] = c.Canonical
	}
	for alias, name := range aliases {
		if next, ok := aliases[name]; ok {
			return names{}, fmt.Errorf("alias %q leads to %q, which is an alias of %q itself: name that", alias, name, next)
		}
	}
	return table, nil
}
