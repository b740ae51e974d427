package fhirpath

import (
	"cmp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/valyala/fastjson"
)

// Expression is a compiled expression. It is stateless and safe for use by several
// goroutines, but they must not share a fastjson.Value, since reading it modifies it.
type Expression struct {
	text  string
	paths []path
}

// String returns the text that the expression was compiled from.
func (e *Expression) String() string { return e.text }

// Append appends the elements that the expression selects in v to dst, operand by operand
// of a union, each in document order. An element that two operands select is appended
// twice.
func (e *Expression) Append(dst []*fastjson.Value, v *fastjson.Value) []*fastjson.Value {
	out := results{list: dst, keep: true}
	for _, p := range e.paths {
		p.walk(v, &out)
	}
	return out.list
}

// Compile compiles an expression. For an expression outside the subset of the package, it
// returns an error with the position and the token.
func Compile(text string) (*Expression, error) {
	tokens, err := lex(text)
	if err != nil {
		return nil, err
	}
	p := parser{expression: text, tokens: tokens}
	paths, err := p.union(true)
	if err != nil {
		return nil, err
	}
	if t := p.peek(); t.kind != end {
		return nil, p.errorAt(t, "unexpected %s: the expression of a search parameter is a path or a union of paths", t)
	}
	return &Expression{text: text, paths: paths}, nil
}

// maxDepth limits nested parentheses and conditions.
const maxDepth = 50

// parser parses tokens into paths and conditions by recursive descent. The next token is
// tokens[next].
type parser struct {
	expression string
	tokens     []token
	next       int
	depth      int
}

// peek returns the next token without consuming it.
func (p *parser) peek() token { return p.tokens[p.next] }

// take consumes the next token.
func (p *parser) take() token {
	t := p.tokens[p.next]
	if t.kind != end {
		p.next++
	}
	return t
}

// accept consumes the next token if it is the given symbol or keyword.
func (p *parser) accept(kind kind, text string) bool {
	if t := p.peek(); t.kind != kind || t.text != text {
		return false
	}
	p.next++
	return true
}

// expect consumes the given symbol, or returns an error.
func (p *parser) expect(text string) error {
	if t := p.peek(); !p.accept(symbol, text) {
		return p.errorAt(t, "unexpected %s: %q is missing", t, text)
	}
	return nil
}

// errorAt returns an error at the position of a token.
func (p *parser) errorAt(t token, format string, args ...any) error {
	return syntaxError(p.expression, t.at, format, args...)
}

// enter and leave track the nesting depth.
func (p *parser) enter() error {
	p.depth++
	if p.depth > maxDepth {
		return p.errorAt(p.peek(), "nested deeper than %d levels", maxDepth)
	}
	return nil
}

func (p *parser) leave() { p.depth-- }

// union parses paths separated by |. Only at the root may a path start with the name of a
// resource type.
func (p *parser) union(root bool) ([]path, error) {
	paths, err := p.chain(root)
	if err != nil {
		return nil, err
	}
	for p.accept(symbol, "|") {
		more, err := p.chain(root)
		if err != nil {
			return nil, err
		}
		paths = append(paths, more...)
	}
	return paths, nil
}

// chain parses one path: a start, steps after dots, and an optional "as Type". It stops
// before a function that turns the path into a condition.
func (p *parser) chain(root bool) ([]path, error) {
	paths, err := p.start(root)
	if err != nil {
		return nil, err
	}
	for p.peek().text == "." && p.peek().kind == symbol && !p.atConditionFunction() {
		p.take()
		if paths, err = p.step(paths); err != nil {
			return nil, err
		}
	}
	if t := p.peek(); p.accept(name, "as") {
		return p.choice(paths, t)
	}
	return paths, nil
}

// atConditionFunction reports whether the next dot is followed by a function that returns a
// boolean, or by resolve(), which only "is" can follow.
func (p *parser) atConditionFunction() bool {
	f := p.tokens[min(p.next+1, len(p.tokens)-1)]
	return f.kind == name && slices.Contains([]string{"exists", "not", "resolve"}, f.text) && p.isCall(p.next+1)
}

// isCall reports whether an opening parenthesis follows the name at i.
func (p *parser) isCall(i int) bool {
	return i+1 < len(p.tokens) && p.tokens[i+1].kind == symbol && p.tokens[i+1].text == "("
}

// start parses the start of a path.
func (p *parser) start(root bool) ([]path, error) {
	t := p.peek()
	switch {
	case t.kind == this:
		p.take()
		return []path{{}}, nil
	case t.kind == symbol && t.text == "(":
		if err := p.enter(); err != nil {
			return nil, err
		}
		defer p.leave()
		p.take()
		paths, err := p.union(root)
		if err != nil {
			return nil, err
		}
		return paths, p.expect(")")
	case t.kind == name && root && startsUpper(t.text) && !p.isCall(p.next):
		p.take()
		if t.text == "Resource" || t.text == "DomainResource" {
			return []path{{}}, nil
		}
		return []path{{{root: t.text}}}, nil
	}
	return p.step([]path{{}})
}

// step parses a property or a function that maps elements to elements.
func (p *parser) step(paths []path) ([]path, error) {
	t := p.take()
	switch {
	case t.kind != name:
		return nil, p.errorAt(t, "unexpected %s: a property or function is missing", t)
	case !p.isCall(p.next - 1):
		if startsDigit(t.text) {
			return nil, p.errorAt(t, "%s is not the name of a property", t)
		}
		return extend(paths, step{field: t.text}), nil
	}
	p.take() // the parenthesis that isCall found
	switch t.text {
	case "where":
		test, err := p.conditionInParentheses()
		if err != nil {
			return nil, err
		}
		return extend(paths, step{test: test}), nil
	case "extension":
		url := p.take()
		if url.kind != text {
			return nil, p.errorAt(url, "unexpected %s: extension() needs the url in single quotes", url)
		}
		sameURL := equals([]path{{{field: "url"}}}, sameText(url.text))
		return extend(paths, step{field: "extension"}, step{test: sameURL}), p.expect(")")
	case "ofType", "as":
		paths, err := p.choice(paths, t)
		if err != nil {
			return nil, err
		}
		return paths, p.expect(")")
	}
	return nil, p.errorAt(t, "the function %s() is not supported: use where, exists, not, extension, ofType, as or resolve", t.text)
}

// choice parses a type name and replaces the choice element at the end of each path by its
// typed form: value as Coding is the property valueCoding.
func (p *parser) choice(paths []path, operator token) ([]path, error) {
	typeName := p.take()
	if typeName.kind != name || startsDigit(typeName.text) {
		return nil, p.errorAt(typeName, "unexpected %s: the name of a data type is missing", typeName)
	}
	narrowed := make([]path, len(paths))
	for i, chain := range paths {
		last := len(chain) - 1
		if last < 0 || chain[last].field == "" {
			return nil, p.errorAt(operator, "%s needs a choice element such as value before it", operator)
		}
		narrowed[i] = slices.Clone(chain)
		narrowed[i][last].field += strings.ToUpper(typeName.text[:1]) + typeName.text[1:]
	}
	return narrowed, nil
}

// conditionInParentheses parses a condition and the closing parenthesis after it.
func (p *parser) conditionInParentheses() (condition, error) {
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer p.leave()
	test, err := p.disjunction()
	if err != nil {
		return nil, err
	}
	return test, p.expect(")")
}

// disjunction parses conditions separated by or.
func (p *parser) disjunction() (condition, error) {
	left, err := p.conjunction()
	for err == nil && p.accept(name, "or") {
		var right condition
		right, err = p.conjunction()
		left = or(left, right)
	}
	return left, err
}

// conjunction parses conditions separated by and.
func (p *parser) conjunction() (condition, error) {
	left, err := p.negatable()
	for err == nil && p.accept(name, "and") {
		var right condition
		right, err = p.negatable()
		left = and(left, right)
	}
	return left, err
}

// negatable parses one test and any number of .not() after it.
func (p *parser) negatable() (condition, error) {
	test, err := p.test()
	for err == nil && p.atNot() {
		p.next += 3 // . not (
		test, err = not(test), p.expect(")")
	}
	return test, err
}

// atNot reports whether the next tokens are .not(.
func (p *parser) atNot() bool {
	return p.peek().kind == symbol && p.peek().text == "." && p.tokens[p.next+1].text == "not" && p.isCall(p.next+1)
}

// test parses a comparison, an exists(), an "is", or a condition in parentheses.
func (p *parser) test() (condition, error) {
	if test, ok, err := p.parenthesized(); ok {
		return test, err
	}
	var paths []path
	var err error
	switch t := p.peek(); {
	case t.kind == name && (t.text == "exists" || t.text == "resolve") && p.isCall(p.next):
		paths = []path{{}} // of $this
	default:
		if paths, err = p.chain(false); err != nil {
			return nil, err
		}
		if !p.accept(symbol, ".") {
			return p.comparison(paths)
		}
	}
	switch f := p.take(); f.text {
	case "exists":
		if err := p.expect("("); err != nil {
			return nil, err
		}
		if p.accept(symbol, ")") {
			return exists(paths, nil), nil
		}
		test, err := p.conditionInParentheses()
		return exists(paths, test), err
	case "resolve":
		if err := cmp.Or(p.expect("("), p.expect(")")); err != nil {
			return nil, err
		}
		typeName, err := p.isType()
		return pointsTo(paths, typeName), err
	default:
		return nil, p.errorAt(f, "%s() needs a condition before it, not a path", f.text)
	}
}

// parenthesized parses a condition in parentheses. If the parenthesis opens a path, as in
// "(a | b).exists()", it consumes nothing and reports false.
func (p *parser) parenthesized() (test condition, ok bool, err error) {
	if t := p.peek(); t.kind != symbol || t.text != "(" {
		return nil, false, nil
	}
	if p.opensPath() {
		return nil, false, nil
	}
	p.take()
	test, err = p.conditionInParentheses()
	return test, true, err
}

// opensPath reports whether the next parenthesis contains a path: it has no part of a
// condition, except in arguments of functions.
func (p *parser) opensPath() bool {
	level, skip := 0, 0 // skip is the level of the arguments that are being skipped, or 0
	for i := p.next; i < len(p.tokens); i++ {
		t := p.tokens[i]
		switch {
		case t.kind == symbol && t.text == "(":
			level++
			if skip == 0 && i > p.next && p.tokens[i-1].kind == name {
				skip = level
			}
		case t.kind == symbol && t.text == ")":
			if skip == level {
				skip = 0
			}
			if level--; level == 0 {
				return true
			}
		case skip > 0:
		case t.kind == symbol && (t.text == "=" || t.text == "!="),
			t.kind == name && slices.Contains([]string{"and", "or", "is"}, t.text),
			t.kind == name && slices.Contains([]string{"exists", "not"}, t.text) && p.isCall(i):
			return false
		}
	}
	return true
}

// comparison parses the rest of a condition after a path: = or != and a literal, or "is
// Type".
func (p *parser) comparison(paths []path) (condition, error) {
	t := p.peek()
	if t.kind == name && t.text == "is" {
		typeName, err := p.isType()
		return is(paths, typeName), err
	}
	unequal := p.accept(symbol, "!=")
	if !unequal && !p.accept(symbol, "=") {
		return nil, p.errorAt(t, "unexpected %s: a condition needs =, !=, is or exists()", t)
	}
	same, err := p.literal()
	if err != nil {
		return nil, err
	}
	if unequal {
		return not(equals(paths, same)), nil
	}
	return equals(paths, same), nil
}

// isType parses "is Type".
func (p *parser) isType() (string, error) {
	if t := p.peek(); !p.accept(name, "is") {
		return "", p.errorAt(t, "unexpected %s: %q and a type are missing", t, "is")
	}
	t := p.take()
	if t.kind != name || !startsUpper(t.text) {
		return "", p.errorAt(t, "%s is not a resource type", t)
	}
	return t.text, nil
}

// literal parses a string or a boolean.
func (p *parser) literal() (same func(*fastjson.Value) bool, err error) {
	t := p.take()
	switch {
	case t.kind == text:
		return sameText(t.text), nil
	case t.kind == name && (t.text == "true" || t.text == "false"):
		return sameBool(t.text == "true"), nil
	}
	return nil, p.errorAt(t, "%s is not supported here: compare with a string in single quotes, true or false", t)
}

// extend returns the paths with the steps appended to each.
func extend(paths []path, steps ...step) []path {
	longer := make([]path, len(paths))
	for i, p := range paths {
		longer[i] = append(p[:len(p):len(p)], steps...)
	}
	return longer
}

func startsUpper(s string) bool {
	r, _ := utf8.DecodeRuneInString(s)
	return unicode.IsUpper(r)
}

func startsDigit(s string) bool { return s[0] >= '0' && s[0] <= '9' }
