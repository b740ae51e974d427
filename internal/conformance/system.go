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

// systems reads the table of systems once: other name → name.
var systems = sync.OnceValues(func() (map[string]string, error) { return parseSystems(systemNames) })

// SystemName returns the name that the directory keeps a code or identifier system
// under, which is s itself unless the table knows s as another name of one (A-29,
// Entries and questions both pass here, through package index, so that a
// question in an old name finds what is stored in the new one, and the reverse.
func SystemName(s string) string {
	if name, ok := otherSystems()[s]; ok {
		return name
	}
	return s
}

// otherSystems is the table, empty if it is broken: then [Load] fails.
func otherSystems() map[string]string {
	table, err := systems()
	if err != nil {
		return nil
	}
	return table
}

// parseSystems refuses a table whose answer would depend on the order of look-ups.
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
			return nil, fmt.Errorf("alias %q stands twice or names nothing: keep one line for it", s.Alias)
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
