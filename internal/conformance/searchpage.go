package conformance

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"muster/internal/fhir"
)

// SearchPage returns the text of docs/search.md: every parameter of every type with its
// aliases, modifiers and values; the includes; and the systems with several names.
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
		b.WriteString("\n")
		writeWrapped(&b, "", "`_include`: "+codes(reg.spellings(reg.Includes(t)))+".")
		b.WriteString("\n")
		writeWrapped(&b, "", "`_revinclude`: "+codes(reg.spellings(reg.RevIncludes(t)))+".")
	}
	writeSystems(&b, reg)
	return b.String()
}

const searchIntroduction = `# Searching

` + "`go test ./internal/conformance -update`" + ` generates this page from the definitions in
internal/conformance/definitions; do not edit it. A search (` + "`GET [base]/Type?…`" + `) and a filter of
an export (` + "`_typeFilter`" + `) take the same text and find the same resources.

- Parameters are joined by AND, values separated by commas by OR. Write a backslash before a comma,
  bar or backslash within a value. ` + "`%2B`" + ` is a plus sign and ` + "`%20`" + ` a space.
- A plus sign without escape is a space in a URL, and a plus sign in a filter. There, it compares as
  a space in a string (` + "`address-city=St+Ives`" + `), begins the zone of a date, and is itself in
  ` + "`:exact`" + ` and in tokens, references and URIs. A filter is refused where a plus sign can only have
  meant a space, such as ` + "`daysofweek=mon,+tue`" + ` or ` + "`phone=02+1234`" + `.
- A parameter without a value (` + "`identifier=`" + `) is ignored in a search. In a filter it is refused,
  since the export would contain more than was asked for.
- A search needs at least one parameter that narrows it. ` + "`active`, `status`, `suppressed`" + ` and names
  that begin with ` + "`_`" + ` do not narrow a search, except ` + "`_id`, `_lastUpdated` and `_has`" + `.
- **token**: ` + "`code`, `system|code`, `system|`, `|code`" + `, compared exactly. Codes and booleans do not
  state their system; the tables list the system that R4 implies, and any other is refused. Contacts
  (` + "`phone`, `email`, `telecom`" + `) have none: a bar in their values is refused. They are compared as
  they are written, but a space before a phone number is read as a plus sign.
- **string**: the start of the text: ` + "`Organization?name=clinic`" + ` finds Clinic Balmain and not Balmain
  Clinic, which ` + "`name:contains=clinic`" + ` finds too. Names and addresses are compared part by part:
  each alias, given name or address line by itself. A family name is also found by the start of each
  of its words but the first (up to 20), in ` + "`family` and `name`" + `: ` + "`family=quinones`" + ` finds Carreno
  Quinones. It is sorted by the whole name.
- Strings are compared without regard to case (STRASSE equals Straße), accents, apostrophes of all
  forms, full stops and invisible format characters. Hyphens and dashes, slashes and plus signs
  compare as a space, runs of spaces as one. So St Vincent's, St. Vincent’s and St Vincents find
  each other, and Anne-Marie finds Anne Marie. ` + "`:contains`" + ` compares in the same way, anywhere in
  the text. ` + "`:exact`" + ` compares the whole text as it is stored.
- **reference**: ` + "`id`, `Type/id`" + ` or a URL of this directory. ` + "`:identifier`" + ` takes a token and
  finds references with that identifier. The name of a type as modifier finds references to that
  type.
- **date**: any precision, with a prefix ` + "`eq ne gt lt ge le sa eb ap`" + ` or none. A day without a
  zone is a day in the eastern states of Australia. Of a period, ` + "`ge`" + ` finds those with a part in or
  after the date, ` + "`le`" + ` those with a part in or before it, ` + "`gt` and `lt`" + ` those with a part after or
  before it, ` + "`sa` and `eb`" + ` those wholly after or before it, and ` + "`eq`" + ` those within it. Roles in force
  in January: ` + "`date=ge2026-01-01&date=le2026-01-31`" + `.
- **number**: a time of day as HHMM, such as ` + "`ge0830`" + `, with ` + "`eq ne gt lt ge le`" + ` or none. The
  times of a resource are compared one by one; a start and an end time need not belong to one block.
- **uri**: compared exactly.
- **special**: ` + "`near=latitude|longitude|distance|unit`" + ` with km, m, mi or [mi_i]. The unit defaults
  to km.
- ` + "`:missing=true`" + ` finds resources without a value to search by, ` + "`:missing=false`" + ` those with
  one. A reference that leads to no resource of the directory is a value too. ` + "`:not`" + ` finds
  resources that have none of the values, including those without any value.
- Chains follow references: ` + "`PractitionerRole?location.address-city=Balmain`" + `,
  ` + "`PractitionerRole?practitioner:Practitioner.name=Lee`" + `. ` + "`_has`" + ` follows them backwards:
  ` + "`Practitioner?_has:PractitionerRole:practitioner:location.address-city=Balmain`" + `. Both nest.
  They lead to resources of the directory only: contained resources, which R4 would search too, and
  resources of other servers are not looked into. ` + "`:identifier`" + ` finds such references.
- A search responds with pages of up to 30 matches (` + "`_count`" + `) and returns the first 150 matches at
  most. A filter takes criteria only.
- ` + "`_sort`" + ` takes ` + "`_id`, `_lastUpdated`, `near`" + ` in a search with a near, and every parameter of the
  types string, token, date, number and uri.
- The total is returned up to 1,000 matches, and above with ` + "`_total=accurate` or `_summary=count`" + `.
- ` + "`_elements`" + ` names top-level elements. Elements that R4 requires, modifier elements and the
  suppression are always returned.
- The includes are those listed. Each also takes ` + "`:iterate`" + `.
- Parameters that are not listed are rejected, never ignored. ` + "`phonetic`" + ` (names by sound) is not
  supported.
- A reference to a version (` + "`Organization/o1/_history/2`" + `) is followed to the resource as it is now.
- Phone numbers and e-mail addresses are compared as they are written: ` + "`phone=0299990000`" + ` does not
  find ` + "`02 9999 0000`" + `, and ` + "`email=Lee@example.org`" + ` does not find ` + "`lee@example.org`" + `.
- An organisation with a masked name is found by its alias.
- Chains and ` + "`_has`" + ` lead through visible resources only, so a state behind them must be the
  visible one: ` + "`PractitionerRole?location.status=inactive`" + ` finds nothing. In an export with
  ` + "`_since`" + `, they lead through resources in all states.
- A token for some types finds those only, and no Provenance about another type. A search is refused
  if it, a step of a chain or of ` + "`_has`" + `, or an include needs a type that the token does not cover.
  Name the type of a step that leads to several: ` + "`Provenance?target:Organization.name=…`" + `. An include
  with several targets brings those that the token covers.
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
	if note := valuesNote(p); note != "" {
		notes = append(notes, note)
	}
	if p.Parts != 0 {
		notes = append(notes, "also the words of a family name")
	}
	for _, rule := range []string{p.Native, p.Spelling} {
		if rule != "" {
			notes = append(notes, ruleNotes[rule])
		}
	}
	if p.URL == "" {
		notes = append(notes, "defined by this directory")
	}
	finds := strings.ReplaceAll(p.Expression, "|", `\|`)
	fmt.Fprintf(b, "| `%s` | %s | %s | `%s` | %s |\n", p.Code, p.Type, modifiers, finds, strings.Join(notes, "; "))
}

// valuesNote names the systems of codes and booleans, which queries may state.
func valuesNote(p Param) string {
	var systems []string
	for _, s := range p.Values {
		systems = append(systems, s.Systems...)
	}
	if len(systems) == 0 {
		return ""
	}
	return "system " + codes(systems)
}

// ruleNotes describe the rules of package index to clients.
var ruleNotes = map[string]string{
	"active":      "an absent element counts as true",
	"status":      "an absent element counts as active",
	"suppressed":  "`true` or `false`, or the code of who suppressed it",
	"mailAddress": "line, text, city, state and postal code of the postal address",
	"ignoreCase":  "without regard to case",
	"lostPlus":    "a space is read as a plus sign",
	"billing":     "BBO is read as BB",
	"profile":     "without the version; profiles of 0.3.0 are read as those of 26.0.0",
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
		writeWrapped(b, "  ", "- "+codes(byWay[way])+": "+way)
	}
}

func writeSystems(b *strings.Builder, reg *Registry) {
	b.WriteString("\n## Systems with several names\n\nResources and queries may use any of the names. A load replaces names of version 0.3.0 of the guide.\n\n| name | aliases |\n| --- | --- |\n")
	byName := map[string][]string{}
	var names []string
	for other, name := range reg.names.systemAliases() {
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

// writeWrapped writes a paragraph in lines of at most 100 characters. All lines but the
// first begin with indent.
func writeWrapped(b *strings.Builder, indent, text string) {
	const width = 100
	column := 0
	for n, word := range strings.Fields(text) {
		length := utf8.RuneCountInString(word)
		switch {
		case n == 0:
		case column+1+length > width:
			b.WriteString("\n" + indent)
			column = len(indent)
		default:
			b.WriteString(" ")
			column++
		}
		b.WriteString(word)
		column += length
	}
	b.WriteString("\n")
}

// codes lists names as code.
func codes(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return "`" + strings.Join(names, "`, `") + "`"
}
