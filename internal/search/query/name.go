package query

import (
	"fmt"
	"regexp"
	"strings"
)

// hasForm is an example of a reverse chain, for messages.
const hasForm = "_has:PractitionerRole:practitioner:identifier=…"

var (
	codeForm = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]*$`)
	wordForm = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9-]*$`)
)

// named parses the name of a criterion with the values:
//
//	name  = "_has:" type ":" code ":" name
//	      | code [":" type] "." name
//	      | code [":" modifier]
//
// depth is the number of steps before name.
func (p *parser) named(name piece, values []Value, at Span, depth int) (Param, bool) {
	if depth > MaxDepth {
		p.refuse(at, fmt.Sprintf("has more than %d steps: follow fewer references", MaxDepth))
		return nil, false
	}
	if strings.HasPrefix(name.text, "_has:") {
		return p.has(name, values, at, depth)
	}
	if dot := strings.IndexByte(name.text, '.'); dot >= 0 {
		return p.chain(name, dot, values, at, depth)
	}
	code, modifier, colon := strings.Cut(name.text, ":")
	switch {
	case name.text == "":
		p.refuse(at, "has no parameter name: write name=value")
		return nil, false
	case !codeForm.MatchString(code):
		p.refuse(name.whole(), "is not a parameter name: letters, digits, '-' and '_' only")
		return nil, false
	case colon && !wordForm.MatchString(modifier):
		p.refuse(name.whole(), "has no valid modifier after the colon: write name:modifier or the name alone")
		return nil, false
	}
	return Criterion{Name: code, Modifier: modifier, Values: values, NameAt: name.whole(), At: at}, true
}

// chain parses a step forward, up to the dot.
func (p *parser) chain(name piece, dot int, values []Value, at Span, depth int) (Param, bool) {
	step := name.cut(0, dot)
	ref, typeName, colon := strings.Cut(step.text, ":")
	if !codeForm.MatchString(ref) || colon && !wordForm.MatchString(typeName) {
		p.refuse(name.whole(), "is not a chain: write reference.parameter or reference:Type.parameter")
		return nil, false
	}
	next, ok := p.named(name.cut(dot+1, len(name.text)), values, at, depth+1)
	if !ok {
		return nil, false
	}
	return Chain{Ref: ref, Type: typeName, Next: next, NameAt: step.whole(), At: at}, true
}

// has parses a step backward: _has, type, reference parameter.
func (p *parser) has(name piece, values []Value, at Span, depth int) (Param, bool) {
	steps := strings.SplitN(name.text, ":", 4)
	if len(steps) < 4 || !wordForm.MatchString(steps[1]) || !codeForm.MatchString(steps[2]) {
		p.refuse(name.whole(), "is not a reverse chain: write "+hasForm)
		return nil, false
	}
	end := len(name.text) - len(steps[3])
	next, ok := p.named(name.cut(end, len(name.text)), values, at, depth+1)
	if !ok {
		return nil, false
	}
	return Has{Type: steps[1], Ref: steps[2], Next: next, NameAt: name.span(0, end-1), At: at}, true
}
