package query

import (
	"fmt"
	"strings"

	"muster/internal/fhir"
)

// Parse parses "Type?name=value&name=value" (KO-35). The error is fhir.Issues with an issue
// for each part that cannot be read, with the part and its position. The query holds the
// other parts. The issue of a type outside the seven has the code not-supported and the
// reason fhir.TypeNotExportable (KO-25). The others have the code invalid.
func Parse(text string) (Query, error) {
	p := parser{q: Query{Source: text}}
	p.query()
	return p.q, p.issues.Err()
}

// ParseType reads only the type of the text, as [Parse] does. The error is that of Parse
// for a text whose type cannot be read; for the name of a type without a question mark
// ParseType returns both the type and an error.
func ParseType(text string) (fhir.Type, error) {
	p := parser{q: Query{Source: text}}
	p.resourceType()
	return p.q.Type, p.issues.Err()
}

// parser holds what Parse has read so far.
type parser struct {
	q      Query
	issues fhir.Issues
	values int
}

func (p *parser) query() {
	if len(p.q.Source) > MaxText {
		p.issues = fhir.Issues{{Code: fhir.CodeInvalid, Diagnostics: fmt.Sprintf(
			"the text has %d bytes; at most %d are accepted: split it into several requests", len(p.q.Source), MaxText)}}
		return
	}
	params, ok := p.resourceType()
	if !ok {
		return
	}
	for start := params; start <= len(p.q.Source) && len(p.issues) < MaxIssues && p.values <= MaxValues; {
		end := start + index(p.q.Source[start:], '&')
		if end > start { // "a=1&&b=2" means "a=1&b=2"
			p.param(Span{start, end})
		}
		start = end + 1
	}
	if p.values > MaxValues {
		p.q.Params = nil
		p.issues = append(p.issues, fhir.Issue{Code: fhir.CodeInvalid, Diagnostics: fmt.Sprintf(
			"the text has more than %d values: split it into several requests", MaxValues)})
	}
}

// resourceType reads the type and returns the offset after the question mark.
func (p *parser) resourceType() (int, bool) {
	text := p.q.Source
	mark := strings.IndexAny(text, "?=&")
	if mark < 0 && isName(text) {
		mark = len(text) // a name alone still names a type
	}
	if mark <= 0 || mark < len(text) && text[mark] != '?' {
		p.refuseAsWritten(Span{0, len(text)}, "does not begin with a resource type and a question mark: write them first, such as Organization?name=clinic")
		return 0, false
	}
	t, ok := fhir.ParseType(text[:mark])
	if !ok {
		p.issues = append(p.issues, fhir.Issue{Code: fhir.CodeNotSupported, Reason: fhir.TypeNotExportable, Diagnostics: fmt.Sprintf(
			"%s is not a type of this directory: use one of %s; names are case-sensitive", place(text, Span{0, mark}), fhir.Names(fhir.Types()))})
		return 0, false
	}
	p.q.Type = t
	if mark == len(text) {
		p.refuseAsWritten(Span{0, mark}, "has no question mark: write one and a criterion after the type, such as Organization?name=clinic")
		return 0, false
	}
	return mark + 1, true
}

// isName reports whether the text has the form of the name of a resource type.
func isName(text string) bool {
	return text != "" && strings.IndexFunc(text, func(r rune) bool { return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') }) < 0
}

// param parses one criterion and appends it to the query, or refuses it.
func (p *parser) param(at Span) {
	text := p.q.Source[at.Start:at.End]
	equals := index(text, '=')
	name, problem, where := decode(p.q.Source, at.Start, at.Start+equals)
	if problem != "" {
		p.refuse(where, problem)
		return
	}
	if equals == len(text) {
		p.bare(name, at)
		return
	}
	value, problem, where := decode(p.q.Source, at.Start+equals+1, at.End)
	if problem != "" {
		p.refuse(where, problem)
		return
	}
	values, ok := p.valueList(value)
	if !ok {
		return
	}
	if param, ok := p.named(name, values, at, 0); ok {
		p.q.Params = append(p.q.Params, param)
	}
}

// bare parses a criterion without '=', which must be the type test in the form of the
// guide's second example.
func (p *parser) bare(name piece, at Span) {
	rest, ok1 := strings.CutPrefix(name.text, "target.resolve().as(")
	typeName, ok2 := strings.CutSuffix(rest, ")")
	t, ok3 := fhir.ParseType(typeName)
	if p.q.Type == fhir.Provenance && ok1 && ok2 && ok3 && t != fhir.Provenance {
		p.values++
		p.q.Params = append(p.q.Params, TypeTest{Ref: "target", Type: typeName, At: at})
		return
	}
	p.refuseAsWritten(at, "has no '=': write name=value; an & within a value is written %26")
}

func (p *parser) refuse(at Span, problem string) { p.report(place(p.q.Source, at), problem) }

// refuseAsWritten refuses a piece that lacks a character, which it may have escaped.
func (p *parser) refuseAsWritten(at Span, problem string) {
	p.report(placeAsWritten(p.q.Source, at), problem)
}

func (p *parser) report(place, problem string) {
	p.issues = append(p.issues, fhir.Issue{Code: fhir.CodeInvalid, Diagnostics: place + " " + problem})
}

// index returns the offset of c in s, the length of s if s does not contain c.
func index(s string, c byte) int {
	if i := strings.IndexByte(s, c); i >= 0 {
		return i
	}
	return len(s)
}
