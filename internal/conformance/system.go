package conformance

import (
	"bytes"
	_ "embed" // for the names of systems
	"encoding/json"
	"fmt"
	"sync"
)

//go:embed definitions/systems.json
var systemNames []byte

// systems returns the table of systems (alias → name), which it parses once.
var systems = sync.OnceValues(func() (map[string]string, error) { return parseSystems(systemNames) })

// SystemName returns the name under which entries hold a code or identifier system: s
// itself, unless s is an alias in the table. Package index applies it to entries
// and queries, so that a query with an old name finds a resource with the new one, and the
// reverse.
func SystemName(s string) string {
	if name, ok := otherSystems()[s]; ok {
		return name
	}
	return s
}

// otherSystems returns the table, nil if it is invalid: then [Load] fails.
func otherSystems() map[string]string {
	table, err := systems()
	if err != nil {
		return nil
	}
	return table
}

// parseSystems parses the table. It returns an error for duplicate aliases and for aliases of
// aliases.
func parseSystems(text []byte) (map[string]string, error) {
	var file struct {
		Systems []struct {
			Alias  string `json:"alias"`
			System string `json:"system"`
		} `json:"systems"`
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&file); err != nil {
		return nil, err
	}
	table := map[string]string{}
	for _, s := range file.Systems {
		if _, taken := table[s.Alias]; taken || s.Alias == "" || s.System == "" {
			return nil, fmt.Errorf("alias %q is duplicate or incomplete: keep one line with both names", s.Alias)
		}
		table[s.Alias] = s.System
	}
	for alias, system := range table {
		if next, ok := table[system]; ok {
			return nil, fmt.Errorf("alias %q leads to %q, which is an alias of %q itself: name that", alias, system, next)
		}
	}
	return table, nil
}
