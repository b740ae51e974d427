package export

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"muster/internal/fhir"

	"github.com/valyala/fastjson"
)

// parameter is one entry of the Parameters resource.
type parameter struct {
	name  string
	at    string // Parameters.parameter[n]
	value value
}

// value is the value of a parameter with the member that holds it: valueString.
type value struct {
	member string // empty when there is none
	at     string // Parameters.parameter[n].valueString
	json   *fastjson.Value
}

// check holds the value against the type that the parameter wants, and then asks
// for more.
func (p parameter) check(member string, more func(string) error) fhir.Issues {
	invalid := func(at, format string, args ...any) fhir.Issues {
		return fhir.Issues{{Code: fhir.CodeInvalid, Expression: at, Diagnostics: fmt.Sprintf(format, args...)}}
	}
	switch {
	case p.value.member == "":
		return invalid(p.at, "The parameter %s has no value. Write %s.", p.name, member)
	case p.value.member != member:
		return invalid(p.value.at, "The parameter %s has a %s. Write %s.", p.name, p.value.member, member)
	case p.value.json.Type() != fastjson.TypeString:
		return invalid(p.value.at, "The %s of %s is a JSON %s. Write a JSON string.", member, p.name, p.value.json.Type())
	}
	text := string(p.value.json.GetStringBytes())
	if strings.TrimSpace(text) == "" {
		return invalid(p.value.at, "The %s of %s is empty. Write a value.", member, p.name)
	}
	if err := more(text); err != nil {
		return invalid(p.value.at, "The value of %s is refused: %v.", p.name, err)
	}
	return nil
}

// readParameters is the first stage: from bytes to a list of named values
// (KO-10, KO-11). Profiles, ids and extensions say nothing to an export and are
// passed over (KO-12).
func readParameters(body []byte) ([]parameter, fhir.Issues) {
	root, issue := parseObject(body)
	if issue != nil {
		return nil, fhir.Issues{*issue}
	}
	var issues fhir.Issues
	invalid := func(at, format string, args ...any) {
		if len(issues) < mostIssues {
			issues = append(issues, fhir.Issue{Code: fhir.CodeInvalid, Expression: at, Diagnostics: fmt.Sprintf(format, args...)})
		}
	}
	for _, at := range repeatedMembers(root, mostIssues) {
		invalid("Parameters"+at, "The JSON member stands twice in its object. Write it once.")
	}
	var list *fastjson.Value
	members(root, func(name string, v *fastjson.Value) {
		switch name {
		case "resourceType", "id", "meta", "language", "_id", "_language":
		case "parameter":
			list = v
		case "implicitRules":
			issues = append(issues, fhir.Issue{Code: fhir.CodeNotSupported, Expression: "Parameters.implicitRules",
				Diagnostics: "No implicit rules are known here. Leave the element out."})
		default:
			invalid("Parameters."+shorten(name), "A Parameters resource has no element %q. Leave it out.", shorten(name))
		}
	})
	switch {
	case list == nil:
		invalid("Parameters.parameter", "The request has no parameters. Write _outputFormat, _type and one _typeFilter for each type.")
	case list.Type() != fastjson.TypeArray || len(list.GetArray()) == 0:
		invalid("Parameters.parameter", "The element is not a JSON array of parameters, or an empty one. Write an array with at least one.")
	}
	if n := len(list.GetArray()); n > mostParameters {
		invalid("Parameters.parameter", "The request has %d parameters and may have %d. An export takes one filter for each of seven types.", n, mostParameters)
		return nil, issues
	}
	var parameters []parameter
	for n, entry := range list.GetArray() {
		p, found := readParameter(entry, fmt.Sprintf("Parameters.parameter[%d]", n))
		parameters, issues = append(parameters, p), append(issues, found...)
	}
	return parameters, issues
}

// What a request may have of parameters, and how many issues are kept of one stage: a body
// of a megabyte can hold half a million mistakes, and reading it must not cost more than
// a good one.
const (
	mostParameters = 100
	mostIssues     = 1000
	mostCommas     = 20_000 // outside of strings; each stands for a JSON value
)

// mostNested is how deep a body may nest. An export needs three levels; the rest
// is room for extensions. The limit is held before anything recurses (KO-11).
const mostNested = 64

// byteOrderMark is what some editors write before UTF-8 text. It says nothing and
// is passed over.
var byteOrderMark = []byte("\xef\xbb\xbf")

// parseObject reads the body as a JSON object that says it is a Parameters
// resource. Its work grows with the length of the body only, whatever the body is.
func parseObject(body []byte) (*fastjson.Value, *fhir.Issue) {
	refuse := func(format string, args ...any) *fhir.Issue {
		return &fhir.Issue{Code: fhir.CodeInvalid, Diagnostics: fmt.Sprintf(format, args...)}
	}
	const want = "Send a FHIR Parameters resource in JSON."
	body = bytes.TrimPrefix(body, byteOrderMark)
	if len(bytes.TrimSpace(body)) == 0 {
		return nil, refuse("The body is empty. %s", want)
	}
	if !utf8.Valid(body) {
		return nil, refuse("The body is not UTF-8. %s", want)
	}
	if at, deep := tooDeep(body); deep {
		return nil, refuse("The body nests more than %d levels of JSON at %s. A Parameters resource for an export needs three.", mostNested, lineAndColumn(body, at))
	}
	if n := commas(body); n > mostCommas {
		return nil, refuse("The body has more than %d JSON values. A Parameters resource for an export needs some dozens.", n)
	}
	// The parser takes some bad literals, so it comes after a strict validation.
	if at, err := validate(body); err != nil {
		return nil, refuse("The body is not JSON: %s, at %s. %s", shorten(err.Error()), lineAndColumn(body, at), want)
	}
	root, err := fastjson.ParseBytes(body)
	if err != nil {
		return nil, refuse("The body is not JSON: %s. %s", shorten(err.Error()), want)
	}
	if root.Type() != fastjson.TypeObject {
		return nil, refuse("The body is a JSON %s. %s", root.Type(), want)
	}
	if name := string(root.GetStringBytes("resourceType")); name != "Parameters" {
		return nil, refuse("The body has the resourceType %q. %s", shorten(name), want)
	}
	return root, nil
}

// tooDeep finds the bracket that opens one level more than a body may have. It
// looks at brackets outside of strings and at nothing else: any other fault is
// for the validation to find.
func tooDeep(body []byte) (at int, deep bool) {
	depth, quoted := 0, false
	for i := 0; i < len(body); i++ {
		switch c := body[i]; {
		case quoted && c == '\\':
			i++ // whatever is escaped ends no string
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '[' || c == '{':
			if depth++; depth > mostNested {
				return i, true
			}
		case c == ']' || c == '}':
			depth--
		}
	}
	return 0, false
}

// commas counts those outside of strings, which is how many values there are at least: the
// parser keeps a hundred bytes for each.
func commas(body []byte) (n int) {
	quoted := false
	for i := 0; i < len(body); i++ {
		switch c := body[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case c == ',' && !quoted:
			n++
		}
	}
	return n
}

// validate reports the first fault in the JSON and its offset in bytes.
func validate(body []byte) (at int, err error) {
	err = json.Unmarshal(body, new(json.RawMessage))
	if fault := (*json.SyntaxError)(nil); errors.As(err, &fault) {
		return max(0, int(fault.Offset)-1), err // Offset counts the bytes read
	}
	return 0, err
}

// lineAndColumn says where an offset is, counting from 1, for people.
func lineAndColumn(body []byte, at int) string {
	before := body[:at]
	start := bytes.LastIndexByte(before, '\n') + 1
	return fmt.Sprintf("line %d, character %d", bytes.Count(before, []byte("\n"))+1, utf8.RuneCount(before[start:])+1)
}

// readParameter reads one entry: a name and at most one value.
func readParameter(entry *fastjson.Value, at string) (parameter, fhir.Issues) {
	p := parameter{at: at}
	var issues fhir.Issues
	invalid := func(at, format string, args ...any) {
		if len(issues) < mostIssues {
			issues = append(issues, fhir.Issue{Code: fhir.CodeInvalid, Expression: at, Diagnostics: fmt.Sprintf(format, args...)})
		}
	}
	if entry.Type() != fastjson.TypeObject {
		invalid(at, "The entry is a JSON %s. Write an object with name and value.", entry.Type())
		return p, issues
	}
	members(entry, func(name string, v *fastjson.Value) {
		switch {
		case name == "name":
			p.name = string(v.GetStringBytes())
		case strings.HasPrefix(name, "value") && p.value.member != "" && p.value.member != name:
			invalid(at+"."+name, "The parameter has two values, %s and %s. Write one.", p.value.member, shorten(name))
		case strings.HasPrefix(name, "value"):
			p.value = value{member: shorten(name), at: at + "." + shorten(name), json: v}
		case name == "part" || name == "resource" || name == "modifierExtension":
			invalid(at+"."+name, "Parameters of an export have no %s. Write a value.", name)
		case name == "id" || name == "extension" || strings.HasPrefix(name, "_"):
		default:
			invalid(at+"."+shorten(name), "A parameter has no element %q. Leave it out.", shorten(name))
		}
	})
	if p.name == "" {
		invalid(at+".name", "The parameter has no name, or one that is not a JSON string. Write _outputFormat, _type, _typeFilter or _since.")
	}
	p.name = shorten(p.name)
	return p, issues
}

// members yields the members of an object in their order.
func members(object *fastjson.Value, yield func(name string, v *fastjson.Value)) {
	o, err := object.Object()
	if err != nil {
		return
	}
	o.Visit(func(key []byte, v *fastjson.Value) { yield(string(key), v) })
}

// repeatedMembers returns the places, below v, of members that stand twice in one
// object, at any depth, but not more than most of them: readers disagree about which one
// counts. A path is only written for what was found.
func repeatedMembers(v *fastjson.Value, most int) (places []string) {
	below := func(step func() string, v *fastjson.Value) {
		if len(places) >= most {
			return
		}
		for _, place := range repeatedMembers(v, most-len(places)) {
			places = append(places, step()+place)
		}
	}
	switch v.Type() {
	case fastjson.TypeArray:
		for n, item := range v.GetArray() {
			below(func() string { return fmt.Sprintf("[%d]", n) }, item)
		}
	case fastjson.TypeObject:
		seen := map[string]bool{}
		members(v, func(name string, member *fastjson.Value) {
			step := func() string { return "." + shorten(name) }
			if seen[name] && len(places) < most {
				places = append(places, step())
			}
			seen[name] = true
			below(step, member)
		})
	}
	return places
}
