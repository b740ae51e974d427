// Package scope says what the scopes of an access token grant (AU-02, AU-06).
//
// A [Table] is the one place where the text of a scope gets a meaning. It knows scopes by their
// exact text, such as those of the guide, and, as a family, the scopes of SMART App Launch for
// systems. Whatever it does not know grants nothing. An operator may replace the table by a file;
// see [Parse].
package scope

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"muster/internal/auth"
	"muster/internal/fhir"
	"muster/internal/humanize"
)

// MaxFile is the largest size of the file of a table, in bytes.
const MaxFile = 64 << 10

// defaults is the table without a file, in the format of [Parse].
const defaults = `
search = search
read   = read
export = export
smart
`

// Table says what scopes grant. It is not changed after it was made.
type Table struct {
	names  []string // in the order of the text, for discovery
	grants map[string]auth.Grants
	smart  bool
}

// Default returns the table of the scopes of the guide and of SMART.
func Default() *Table {
	t, err := Parse(defaults)
	if err != nil {
		panic(err) // the text is a constant
	}
	return t
}

// Parse reads a table. A line gives the meaning of one scope:
//
//	directory.read   = read search
//	organisations    = search read export Organization Location
//
// Interactions and types are separated by spaces or commas, in any order; a line without types
// grants all types. The line "smart" alone adds the scopes of SMART. Empty lines and text after # at
// the start of a line or after a space count for nothing. What the text does not list grants
// nothing. Errors name the line and say what to write.
func Parse(text string) (*Table, error) {
	t := &Table{grants: map[string]auth.Grants{}}
	if len(text) > MaxFile {
		return nil, fmt.Errorf("the table is larger than %s: list fewer scopes", humanize.Bytes(MaxFile))
	}
	if !utf8.ValidString(text) {
		return nil, fmt.Errorf("the table is not UTF-8: save it as UTF-8")
	}
	n := 0
	for line := range strings.Lines(strings.TrimPrefix(text, "\ufeff")) {
		n++
		if err := t.add(withoutComment(line)); err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
	}
	if len(t.names) == 0 && !t.smart {
		return nil, fmt.Errorf("the table has no scope, so no client could do anything: write lines such as %q", "search = search")
	}
	return t, nil
}

// withoutComment returns a line without its comment and the space around it. A # inside a word is
// part of a scope, which may be a URL.
func withoutComment(line string) string {
	for at := range len(line) {
		if line[at] == '#' && (at == 0 || line[at-1] == ' ' || line[at-1] == '\t') {
			line = line[:at]
			break
		}
	}
	return strings.TrimSpace(line)
}

// add adds a line of the table.
func (t *Table) add(line string) error {
	if line == "" {
		return nil
	}
	if line == "smart" {
		t.smart = true
		return nil
	}
	// A scope may hold =, so the last one divides the line.
	at := strings.LastIndexByte(line, '=')
	if at < 0 {
		return fmt.Errorf("%q is neither %q nor the word smart: write a line such as %q", line, "scope = interactions [types]", "directory.read = read search")
	}
	name := strings.TrimSpace(line[:at])
	if !Valid(name) {
		return fmt.Errorf("%q is not the text of one scope: write printable ASCII without spaces and quotes", name)
	}
	if _, ok := t.grants[name]; ok {
		return fmt.Errorf("the scope %s has a line already: write all that it grants in one line", name)
	}
	granted, err := parseGrants(line[at+1:])
	if err != nil {
		return fmt.Errorf("the scope %s: %w", name, err)
	}
	t.names = append(t.names, name)
	t.grants[name] = granted
	return nil
}

// parseGrants reads the right side of a line.
func parseGrants(text string) (granted auth.Grants, err error) {
	var interactions []auth.Interaction
	var types fhir.TypeSet
	for _, word := range strings.FieldsFunc(text, func(r rune) bool { return r == ' ' || r == '\t' || r == ',' }) {
		if i := slices.IndexFunc(known, func(i auth.Interaction) bool { return i.String() == word }); i >= 0 {
			interactions = append(interactions, known[i])
		} else if t, ok := fhir.ParseType(word); ok {
			types |= fhir.TypesOf(t)
		} else {
			return granted, fmt.Errorf("%q is neither an interaction nor a type: write some of search, read, export, then the types if it is not all: %s", word, fhir.AllTypes())
		}
	}
	if len(interactions) == 0 {
		return granted, fmt.Errorf("no interaction follows the sign =: write some of search, read, export")
	}
	if types == 0 {
		types = fhir.AllTypes()
	}
	for _, i := range interactions {
		granted[i] = types
	}
	return granted, nil
}

// known are the interactions that a scope may grant.
var known = []auth.Interaction{auth.Search, auth.Read, auth.Export}

// Grants returns what scopes grant together. Of SMART's letters, r allows reads and s searches; an
// export needs both for each type, whether one scope has them or two (SC-04).
func (t *Table) Grants(scopes []string) auth.Grants {
	var all, smart auth.Grants
	for _, s := range scopes {
		if granted, ok := t.grants[s]; ok {
			all = all.Or(granted)
		} else if t.smart {
			smart = smart.Or(parseSMART(s))
		}
	}
	smart[auth.Export] = smart[auth.Read] & smart[auth.Search]
	return all.Or(smart)
}

// Grant returns what one scope grants alone. A scope with which that is nothing is one that a
// token endpoint refuses.
func (t *Table) Grant(scope string) auth.Grants { return t.Grants([]string{scope}) }

// Supported returns scopes of the table for the discovery of clients (DI-11): each one that is
// known by its text, and the usual forms of SMART.
func (t *Table) Supported() []string {
	list := slices.Clone(t.names)
	if t.smart {
		for _, of := range append([]string{"*"}, strings.Split(fhir.AllTypes().String(), ", ")...) {
			list = append(list, "system/"+of+".rs", "system/"+of+".read")
		}
	}
	return list
}

// parseSMART returns the reads and searches that a scope of SMART v1 or v2 grants, without exports. It
// grants nothing if its letters are out of order (SC-03), if it has search parameters, since these
// would be ignored (SC-09), if it is for a user or a patient, or if it is not of SMART.
func parseSMART(scope string) (granted auth.Grants) {
	rest, ok := strings.CutPrefix(scope, "system/")
	if !ok {
		return granted
	}
	of, permission, ok := strings.Cut(rest, ".")
	if !ok {
		return granted
	}
	types := fhir.AllTypes()
	if of != "*" {
		t, ok := fhir.ParseType(of)
		if !ok {
			return granted
		}
		types = fhir.TypesOf(t)
	}
	letters := permission
	switch permission { // SC-02
	case "read":
		letters = "rs"
	case "write":
		letters = "cud"
	case "*":
		letters = "cruds"
	}
	if !inOrder(letters) {
		return granted
	}
	if strings.Contains(letters, "r") {
		granted[auth.Read] = types
	}
	if strings.Contains(letters, "s") {
		granted[auth.Search] = types
	}
	return granted
}

// inOrder reports whether a text has letters of cruds, each once and in this order (SC-01).
func inOrder(letters string) bool {
	rest := "cruds"
	for _, letter := range letters {
		at := strings.IndexRune(rest, letter)
		if at < 0 {
			return false
		}
		rest = rest[at+1:]
	}
	return letters != ""
}

// Split returns the scopes of a text that separates them by spaces, as tokens and requests do (RFC
// 6749, section 3.3).
func Split(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == ' ' })
}

// Valid reports whether a text has the syntax of one scope (RFC 6749, section 3.3). Whether it
// grants anything is a matter of the table.
func Valid(scope string) bool {
	for _, b := range []byte(scope) {
		if b <= ' ' || b > '~' || b == '"' || b == '\\' {
			return false
		}
	}
	return scope != ""
}
