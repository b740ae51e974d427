package conformance

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"

	"muster/internal/fhir"
)

// ParamType is how a search parameter compares (FHIR search parameter type).
type ParamType string

// The parameter types of the directory. The only special parameter is near.
const (
	Token     ParamType = "token"
	String    ParamType = "string"
	Date      ParamType = "date"
	Reference ParamType = "reference"
	URI       ParamType = "uri"
	Number    ParamType = "number"
	Special   ParamType = "special"
)

var paramTypes = []ParamType{Token, String, Date, Reference, URI, Number, Special}

// Role is what a parameter counts for; package policy applies it.
type Role string

// The roles. Substantive parameters narrow a search (SR-10, SR-11). State parameters, which
// compare the state of a resource (SR-12), and system parameters do not.
const (
	Substantive Role = "substantive"
	State       Role = "state"
	System      Role = "system"
)

// Param is one search parameter of one resource type, read from
// definitions/search-parameters.json.
type Param struct {
	ID         int    // number in the index tables, from 1; never reused for another parameter
	Code       string // name in a query: "address-city"
	Type       ParamType
	Base       fhir.Type
	Element    string   // FHIR data type of the indexed elements: "Identifier"
	Expression string   // FHIRPath of the indexed elements, from Base: "Location.address.city"
	Native     string   // rule of package index that replaces plain extraction by Expression; may be empty
	Spelling   string   // rule of package index that normalises its codes or uris; may be empty
	Column     bool     // a column of the resource's row, without index entries: _id, _lastUpdated
	Target     []string // names of the types that a reference may refer to
	Role       Role
	URL        string // canonical of the SearchParameter; empty if none is published
	Restricted string // what to do instead of a parameter that is refused for privacy (SR-30); else empty

	Personal bool // searches by a contact of a person

	// Modifiers are the modifiers that the parameter takes, without the colon, in
	// alphabetical order: "missing", and for a reference also the names of its target
	// types (SR-46).
	Modifiers []string

	// Marker is set if index entries do not show whether the element is present, because an
	// absent one is indexed as its default (active, status, suppressed). :missing then
	// searches for the token entry with this number (see Marks). Defaults to 0, no marker.
	Marker int
	Marks  Mark // what an entry with the number Marker means

	// Parts is set if the parameter searches family names, which are also found by their parts
	// (SR-48). Entries with this number hold what follows each space or hyphen of a family
	// name. They are not sorted by. Defaults to 0, no parts.
	Parts int

	// Values are the value sets of elements that have no system of their own (SR-47): codes and
	// booleans. Empty for all others.
	Values []ValueSet
}

// Mark is what a token entry with the number [Param.Marker] means. Resources in the rarer of
// the two cases have the entry.
type Mark string

// The marks.
const (
	MarksAbsent  Mark = "absent"  // the element is absent
	MarksPresent Mark = "present" // the element is present
)

// Takes reports whether the parameter takes the modifier (SR-23).
func (p Param) Takes(modifier string) bool { return slices.Contains(p.Modifiers, modifier) }

// Targets returns the types of the directory that a reference may lead to.
func (p Param) Targets() []fhir.Type {
	var types []fhir.Type
	for _, name := range p.Target {
		if t, ok := fhir.ParseType(name); ok {
			types = append(types, t)
		}
	}
	return types
}

// Indexed reports whether resources have index entries for the parameter. Columns and
// restricted parameters have none.
func (p Param) Indexed() bool { return !p.Column && p.Restricted == "" }

// Registry holds the search parameters that muster supports, by type and code. It never
// changes and is safe for concurrent use.
type Registry struct {
	params  map[fhir.Type]map[string]Param
	aliases map[fhir.Type]map[string]string
	sorted  map[fhir.Type][]Param
	names   names
	hash    string
}

// NewRegistry returns a registry of parameters and, by type, aliases (alias → code). It
// returns an error for a code or id that is used twice, an alias of an unknown code, and an
// invalid parameter.
func NewRegistry(params []Param, aliases map[fhir.Type]map[string]string) (*Registry, error) {
	r := &Registry{
		params:  map[fhir.Type]map[string]Param{},
		aliases: map[fhir.Type]map[string]string{},
		sorted:  map[fhir.Type][]Param{},
		names:   otherNames(),
	}
	owner := map[int]Param{}
	for _, p := range params {
		if err := p.check(); err != nil {
			return nil, err
		}
		if other, taken := owner[p.ID]; taken && (!p.Column || other.Code != p.Code) {
			return nil, fmt.Errorf("search parameter %s?%s: id %d belongs to %s?%s: give it the next free one", p.Base, p.Code, p.ID, other.Base, other.Code)
		}
		owner[p.ID] = p
		for _, id := range []int{p.Marker, p.Parts} {
			if id == 0 {
				continue
			}
			if other, taken := owner[id]; taken {
				return nil, fmt.Errorf("search parameter %s?%s: marker or parts %d: id %d belongs to %s?%s: give it the next free one", p.Base, p.Code, id, id, other.Base, other.Code)
			}
			owner[id] = p
		}
		if r.params[p.Base] == nil {
			r.params[p.Base] = map[string]Param{}
		}
		if _, taken := r.params[p.Base][p.Code]; taken {
			return nil, fmt.Errorf("search parameter %s?%s is defined twice: remove one definition", p.Base, p.Code)
		}
		p.Target = slices.Clone(p.Target)
		p.Modifiers = modifiers(p)
		r.params[p.Base][p.Code] = p
		r.sorted[p.Base] = append(r.sorted[p.Base], p)
	}
	for _, list := range r.sorted {
		slices.SortFunc(list, func(a, b Param) int { return strings.Compare(a.Code, b.Code) })
	}
	for t, names := range aliases {
		r.aliases[t] = map[string]string{}
		for alias, code := range names {
			if _, ok := r.params[t][code]; !ok {
				return nil, fmt.Errorf("alias %s?%s stands for %q, which is not a search parameter of the type: use the code of one", t, alias, code)
			}
			if _, taken := r.params[t][alias]; taken {
				return nil, fmt.Errorf("alias %s?%s is a search parameter itself: choose another name", t, alias)
			}
			r.aliases[t][alias] = code
		}
	}
	r.hash = r.computeHash()
	return r, nil
}

// check returns an error for an invalid definition.
func (p Param) check() error {
	switch {
	case p.ID <= 0:
		return fmt.Errorf("search parameter %s?%s: id %d: give it a number from 1", p.Base, p.Code, p.ID)
	case p.Code == "":
		return fmt.Errorf("search parameter %d of %s has no code: name it as queries do", p.ID, p.Base)
	case p.Base.String() == fhir.Type(0).String():
		return fmt.Errorf("search parameter %s: its base is not a type of the directory: use one of %s", p.Code, fhir.Names(fhir.Types()))
	case !slices.Contains(paramTypes, p.Type):
		return fmt.Errorf("search parameter %s?%s: type %q is not supported: use one of %v", p.Base, p.Code, p.Type, paramTypes)
	case !slices.Contains([]Role{Substantive, State, System}, p.Role):
		return fmt.Errorf("search parameter %s?%s: role %q is unknown: use substantive, state or system", p.Base, p.Code, p.Role)
	case p.Marker != 0 && !slices.Contains([]Mark{MarksAbsent, MarksPresent}, p.Marks):
		return fmt.Errorf("search parameter %s?%s: marks %q is unknown: use %s or %s", p.Base, p.Code, p.Marks, MarksAbsent, MarksPresent)
	case p.Parts != 0 && p.Type != String:
		return fmt.Errorf("search parameter %s?%s: only a string has parts: leave parts out", p.Base, p.Code)
	case p.Type == Reference && len(p.Target) == 0:
		return fmt.Errorf("search parameter %s?%s: a reference needs target types: list them", p.Base, p.Code)
	}
	for _, m := range p.Modifiers {
		if !slices.Contains(allModifiers, m) {
			return fmt.Errorf("search parameter %s?%s: modifier %q is unknown: use some of %v", p.Base, p.Code, m, allModifiers)
		}
	}
	return nil
}

// Types returns the types that have parameters, in loading order.
func (r *Registry) Types() []fhir.Type {
	return slices.DeleteFunc(fhir.Types(), func(t fhir.Type) bool { return len(r.sorted[t]) == 0 })
}

// Param looks up a parameter of a type by its code or an alias. The result has the code of
// the definition.
func (r *Registry) Param(t fhir.Type, code string) (Param, bool) {
	if original, ok := r.aliases[t][code]; ok {
		code = original
	}
	p, ok := r.params[t][code]
	return p, ok
}

// DottedAlias returns the code of the parameter that an alias with a dot names, such as
// agent.who. The grammar of queries reads the dot as a step of a chain, so these names need
// a look-up of their own.
func (r *Registry) DottedAlias(t fhir.Type, name string) (code string, ok bool) {
	if !strings.Contains(name, ".") {
		return "", false
	}
	code, ok = r.aliases[t][name]
	return code, ok
}

// Params returns a copy of all parameters of a type, including restricted ones, in the
// order of their codes.
func (r *Registry) Params(t fhir.Type) []Param { return slices.Clone(r.sorted[t]) }

// References returns the reference parameters of all types that find references, in the order of
// types and codes.
func (r *Registry) References() (found []Param) {
	for _, t := range r.Types() {
		for _, p := range r.sorted[t] {
			if p.Type == Reference && p.Indexed() {
				found = append(found, p)
			}
		}
	}
	return found
}

// Aliases returns the aliases of a parameter of a type in alphabetical order.
func (r *Registry) Aliases(t fhir.Type, code string) []string {
	var names []string
	for alias, original := range r.aliases[t] {
		if original == code {
			names = append(names, alias)
		}
	}
	slices.Sort(names)
	return names
}

// Restrict returns a registry in which the parameters are restricted for which reason
// returns a text, in addition to those that the definitions restrict. The text says what
// to do instead. Index entries and the hash of the definitions are those of r.
func (r *Registry) Restrict(reason func(Param) string) *Registry {
	strict := *r
	strict.params, strict.sorted = map[fhir.Type]map[string]Param{}, map[fhir.Type][]Param{}
	for t, list := range r.sorted {
		strict.params[t] = map[string]Param{}
		for _, p := range list {
			if text := reason(p); p.Restricted == "" && text != "" {
				p.Restricted, p.Modifiers = text, nil
			}
			strict.params[t][p.Code] = p
			strict.sorted[t] = append(strict.sorted[t], p)
		}
	}
	return &strict
}

// DefinitionsHash returns 64 hexadecimal digits that identify the meaning of index entries.
// Two programs with the same hash write the same entries for the same resource. A store
// that was indexed under another hash must be reindexed.
func (r *Registry) DefinitionsHash() string { return r.hash }

// indexRules is the version of the code of package index. Increment it when entries change
// without a change of the definitions, such as by another folding or another rule for a
// data type.
const indexRules = 5

func (r *Registry) computeHash() string {
	h := sha256.New()
	fmt.Fprintf(h, "rules %d\n", indexRules)
	for _, other := range slices.Sorted(maps.Keys(r.names.systems)) {
		fmt.Fprintf(h, "%q %v\n", other, r.names.systems[other]) // fmt sorts maps
	}
	for _, other := range slices.Sorted(maps.Keys(r.names.canonicals)) {
		fmt.Fprintf(h, "%q %q\n", other, r.names.canonicals[other])
	}
	for _, t := range fhir.Types() {
		for _, p := range r.sorted[t] {
			if p.Indexed() {
				fmt.Fprintf(h, "%d %s %q %s %s %q %q %q %q\n", p.ID, p.Base, p.Code, p.Type, p.Element, p.Expression, p.Native, p.Spelling, p.Target)
				if p.Marker != 0 {
					fmt.Fprintf(h, "%d %s\n", p.Marker, p.Marks)
				}
				if p.Parts != 0 {
					fmt.Fprintf(h, "parts %d\n", p.Parts)
				}
			}
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}
