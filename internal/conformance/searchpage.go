package conformance

import (
	"fmt"
	"slices"
	"strings"

	"muster/internal/fhir"
)

// SearchPage writes docs/search.md: every parameter of every type, under all its
// names, with what it takes; the includes; and the systems with several names. It is
// computed from the registry, as the CapabilityStatement is.
func SearchPage(reg *Registry) string {
	var b strings.Builder
	b.WriteString(searchIntroduction)
	for _, t := range reg.Types() {
		fmt.Fprintf(&b, "\n## %s\n\n", t)
		b.WriteString("| parameter | type | modifiers | finds by | notes |\n| --- | --- | --- | --- | --- |\n")
		for _, p := range reg.Params(t) {
			if p.Restricted == "" {
				writeParam(&b, reg, p)
			}
		}
		writeRestricted(&b, reg, t)
		fmt.Fprintf(&b, "\n`_include`: %s.\n`_revinclude`: %s.\n", codes(reg.spellings(reg.Includes(t))), codes(reg.spellings(reg.RevIncludes(t))))
	}
	writeSystems(&b, reg)
	return b.String()
}

const searchIntroduction = `# Searching

Written by ` + "`go test ./internal/conformance -update`" + ` from the definitions in internal/conformance/definitions; do not edit. The same text is a search
(` + "`GET [base]/Type?…`" + `) and a filter of an export (` + "`_typeFilter`" + `), and finds the same.

- Parameters are joined by AND, values with a comma between by OR. A comma, bar or backslash within a value is written with a backslash before it.
  ` + "`%2B`" + ` is a plus sign and ` + "`%20`" + ` a space; a bare plus sign is a space in a URL, and itself in a filter.
- A search needs at least one parameter that narrows it: not only ` + "`active`, `status`, `suppressed`" + ` and names that begin with ` + "`_`" + `, of which ` + "`_id`, `_lastUpdated` and `_has`" + ` count.
- **token**: ` + "`code`, `system|code`, `system|`, `|code`" + `, compared to the letter. **string**: the start of any part of the text, without regard to case, accents and runs of
  spaces; ` + "`:contains`" + ` anywhere, ` + "`:exact`" + ` to the letter. **reference**: ` + "`id`, `Type/id`" + ` or a URL of this directory; ` + "`:identifier`" + ` takes a token and finds references that carry an identifier,
  a type name as modifier finds references to that type. **date**: any precision, with a prefix ` + "`eq ne gt lt ge le sa eb ap`" + ` or none; a day without a zone is one in the eastern states.
  **number**: a time of day as HHMM, such as ` + "`ge0830`" + `, with ` + "`eq ne gt lt ge le`" + ` or none; several times of one resource are looked at one by one, and those of one block are not
  held together. **uri**: to the letter. **special**: ` + "`near=latitude|longitude|distance|unit`" + ` with km, m, mi or [mi_i], km if none is written.
- ` + "`:missing=true`" + ` finds resources without a value to search by, ` + "`:missing=false`" + ` those with one. ` + "`:not`" + ` finds resources that have none of the values, also those that have no value at all.
- References are followed by chains: ` + "`PractitionerRole?location.address-city=Balmain`, `PractitionerRole?practitioner:Practitioner.name=Lee`" + `; backwards by ` + "`_has`" + `:
  ` + "`Practitioner?_has:PractitionerRole:practitioner:location.address-city=Balmain`" + `. Both nest.
- A search answers in pages of up to 30 matches (` + "`_count`" + `), the first 150 in all; a filter takes criteria only. ` + "`_sort`" + ` takes ` + "`_id`, `_lastUpdated`, `near`" + ` where the search has one, and every
  parameter that is a string, token, date, number or uri. The total is given up to 1,000 matches, beyond that with ` + "`_total=accurate` or `_summary=count`" + `. ` + "`_elements`" + ` names elements at the root;
  what R4 requires stays. Includes are those listed, each also as ` + "`:iterate`" + `.
- What is not listed here is refused, never ignored. Names by their sound (` + "`phonetic`" + `) are not offered.
`

func writeParam(b *strings.Builder, reg *Registry, p Param) {
	modifiers := ""
	if len(p.Modifiers) > 0 {
		modifiers = "`:" + strings.Join(p.Modifiers, "` `:") + "`"
	}
	var notes []string
	switch p.Role {
	case State:
		notes = append(notes, "state")
	case System:
		notes = append(notes, "does not narrow")
	}
	if names := reg.Aliases(p.Base, p.Code); len(names) > 0 {
		notes = append(notes, "also "+codes(names))
	}
	if len(p.Target) > 0 {
		notes = append(notes, "to "+strings.Join(p.Target, ", "))
	}
	for _, rule := range []string{p.Native, p.Spelling} {
		if rule != "" {
			notes = append(notes, ruleNotes[rule])
		}
	}
	if p.URL == "" {
		notes = append(notes, "of this directory alone")
	}
	finds := strings.ReplaceAll(p.Expression, "|", `\|`)
	fmt.Fprintf(b, "| `%s` | %s | %s | `%s` | %s |\n", p.Code, p.Type, modifiers, finds, strings.Join(notes, "; "))
}

// ruleNotes tell what the rules of package index mean to who asks.
var ruleNotes = map[string]string{
	"active":      "an absent element counts as true",
	"status":      "an absent element counts as active",
	"suppressed":  "`true` or `false`, or the code of who suppressed it",
	"mailAddress": "line, text, city, state and postal code of the postal address",
	"ignoreCase":  "without regard to case",
	"lostPlus":    "a space is read as the plus sign it was",
	"billing":     "BBO is BB",
	"profile":     "without the version; profiles of 0.3.0 are those of 26.0.0",
}

func writeRestricted(b *strings.Builder, reg *Registry, t fhir.Type) {
	byWay := map[string][]string{}
	var ways []string
	for _, p := range reg.Params(t) {
		if p.Restricted == "" {
			continue
		}
		if byWay[p.Restricted] == nil {
			ways = append(ways, p.Restricted)
		}
		byWay[p.Restricted] = append(byWay[p.Restricted], p.Code)
	}
	if ways == nil {
		return
	}
	b.WriteString("\nRefused for privacy, at the end of every chain too:\n\n")
	for _, way := range ways {
		fmt.Fprintf(b, "- %s: %s\n", codes(byWay[way]), way)
	}
}

func writeSystems(b *strings.Builder, reg *Registry) {
	b.WriteString("\n## Systems with several names\n\nResources and questions may use any of them.\n\n| name | the same as |\n| --- | --- |\n")
	byName := map[string][]string{}
	var names []string
	for other, name := range reg.systems {
		if byName[name] == nil {
			names = append(names, name)
		}
		byName[name] = append(byName[name], other)
	}
	slices.Sort(names)
	for _, name := range names {
		slices.Sort(byName[name])
		fmt.Fprintf(b, "| `%s` | %s |\n", name, codes(byName[name]))
	}
	b.WriteString("| `http://snomed.info/sct` | any edition or version of it, such as `http://snomed.info/sct/32506021000036107/version/20260131` |\n")
}

// codes lists names as code.
func codes(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return "`" + strings.Join(names, "`, `") + "`"
}
