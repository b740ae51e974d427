package export

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"muster/internal/fhir"
	"muster/internal/strictjson"

	"github.com/valyala/fastjson"
)

// parameter is one entry of the Parameters resource.
type parameter struct {
	name  string
	at    string // Parameters.parameter[n]
	value value
}

// value is the value of a parameter and the member that has it: valueString.
type value struct {
	member string // empty if there is no value
	at     string // Parameters.parameter[n].valueString
	json   *fastjson.Value
}

// check checks that the value has the given type and is not empty, and then calls validate.
func (p parameter) check(member string, validate func(string) error) fhir.Issues {
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
	if err := validate(text); err != nil {
		return invalid(p.value.at, "The value of %s is not valid: %v.", p.name, err)
	}
	return nil
}

// readParameters is the first stage: it parses a body into a list of named values (KO-10,
// KO-11). It ignores profiles, ids and extensions, which do not affect an export (KO-12).
func readParameters(body []byte) ([]parameter, fhir.Issues) {
	var duplicates []string
	root, issue := parseObject(body, func(path []strictjson.Step) {
		if len(duplicates) < maxIssues {
			duplicates = append(duplicates, pathText(path))
		}
	})
	if issue != nil {
		return nil, fhir.Issues{*issue}
	}
	var issues fhir.Issues
	invalid := func(at, format string, args ...any) {
		if len(issues) < maxIssues {
			issues = append(issues, fhir.Issue{Code: fhir.CodeInvalid, Expression: at, Diagnostics: fmt.Sprintf(format, args...)})
		}
	}
	for _, at := range duplicates {
		invalid("Parameters"+at, "The object has this JSON member twice. Write it once.")
	}
	var list *fastjson.Value
	members(root, func(name string, v *fastjson.Value) {
		switch name {
		case "resourceType", "id", "meta", "language", "_id", "_language":
		case "parameter":
			list = v
		case "implicitRules":
			issues = append(issues, fhir.Issue{Code: fhir.CodeNotSupported, Expression: "Parameters.implicitRules",
				Diagnostics: "The server does not support implicit rules. Leave the element out."})
		default:
			invalid("Parameters."+shorten(name), "A Parameters resource has no element %q. Leave it out.", shorten(name))
		}
	})
	switch {
	case list == nil:
		invalid("Parameters.parameter", "The request has no parameters. Write _outputFormat, _type and one _typeFilter for each type.")
	case list.Type() != fastjson.TypeArray || len(list.GetArray()) == 0:
		invalid("Parameters.parameter", "The element is not a JSON array, or it is empty. Write an array with at least one parameter.")
	}
	if n := len(list.GetArray()); n > maxParameters {
		invalid("Parameters.parameter", "The request has %d parameters, and the limit is %d. An export needs one filter for each of seven types.", n, maxParameters)
		return nil, issues
	}
	var parameters []parameter
	for n, entry := range list.GetArray() {
		p, found := readParameter(entry, fmt.Sprintf("Parameters.parameter[%d]", n))
		parameters, issues = append(parameters, p), append(issues, found...)
	}
	return parameters, issues
}

// Limits of a request. A body of a megabyte can have half a million mistakes, and parsing
// it must not cost more than parsing a valid one.
const (
	maxParameters = 100
	maxIssues     = 1000   // reported by one stage
	maxCommas     = 20_000 // outside strings
)

// byteOrderMark precedes UTF-8 text of some editors. It is ignored.
var byteOrderMark = []byte("\xef\xbb\xbf")

// sendParameters is the remedy for a body that is not a Parameters resource.
const sendParameters = "Send a FHIR Parameters resource in JSON."

// parseObject parses the body as a JSON object with the resourceType Parameters. Its time
// and memory are linear in the length of the body. It calls duplicate for each repeated
// JSON member.
func parseObject(body []byte, duplicate func(path []strictjson.Step)) (*fastjson.Value, *fhir.Issue) {
	refuse := func(format string, args ...any) *fhir.Issue {
		return &fhir.Issue{Code: fhir.CodeInvalid, Diagnostics: fmt.Sprintf(format, args...)}
	}
	body = bytes.TrimPrefix(body, byteOrderMark)
	if len(bytes.TrimSpace(body)) == 0 {
		return nil, refuse("The body is empty. %s", sendParameters)
	}
	if !utf8.Valid(body) {
		return nil, refuse("The body is not UTF-8. %s", sendParameters)
	}
	// fastjson accepts some invalid literals, so the body is validated first.
	v := strictjson.Validator{Options: strictjson.Options{MaxCommas: maxCommas, Duplicate: duplicate}}
	if err := v.Validate(body); err != nil {
		return nil, refuse("%s", badJSON(body, err))
	}
	root, err := fastjson.ParseBytes(body)
	if err != nil {
		return nil, refuse("The body is not JSON: %s. %s", shorten(err.Error()), sendParameters)
	}
	if root.Type() != fastjson.TypeObject {
		return nil, refuse("The body is a JSON %s. %s", root.Type(), sendParameters)
	}
	if name := string(root.GetStringBytes("resourceType")); name != "Parameters" {
		return nil, refuse("The body has the resourceType %q. %s", shorten(name), sendParameters)
	}
	return root, nil
}

// badJSON returns the diagnostics for an error of [strictjson.Validator.Validate].
func badJSON(body []byte, err error) string {
	e, ok := errors.AsType[*strictjson.Error](err)
	if !ok {
		return fmt.Sprintf("The body is not JSON: %v. %s", err, sendParameters)
	}
	place := lineAndColumn(body, e.Offset)
	switch e.Kind {
	case strictjson.TooDeep:
		return fmt.Sprintf("The body nests more than %d levels of JSON at %s. A Parameters resource for an export needs three.", strictjson.MaxDepth, place)
	case strictjson.TooManyMembers:
		return fmt.Sprintf("The body has more than %d JSON values. A Parameters resource for an export needs some dozens.", maxCommas)
	}
	return fmt.Sprintf("The body is not JSON: %s, at %s. %s", e.Text, place, sendParameters)
}

// lineAndColumn returns the line and the character of an offset, from 1.
func lineAndColumn(body []byte, at int) string {
	before := body[:at]
	start := bytes.LastIndexByte(before, '\n') + 1
	return fmt.Sprintf("line %d, character %d", bytes.Count(before, []byte("\n"))+1, utf8.RuneCount(before[start:])+1)
}

// readParameter parses one entry: a name and at most one value.
func readParameter(entry *fastjson.Value, at string) (parameter, fhir.Issues) {
	p := parameter{at: at}
	var issues fhir.Issues
	invalid := func(at, format string, args ...any) {
		if len(issues) < maxIssues {
			issues = append(issues, fhir.Issue{Code: fhir.CodeInvalid, Expression: at, Diagnostics: fmt.Sprintf(format, args...)})
		}
	}
	if entry.Type() != fastjson.TypeObject {
		invalid(at, "The entry is a JSON %s. Write an object with a name and a value.", entry.Type())
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
			invalid(at+"."+name, "A parameter of an export has no %s. Write a value.", name)
		case name == "id" || name == "extension" || strings.HasPrefix(name, "_"):
		default:
			invalid(at+"."+shorten(name), "A parameter has no element %q. Leave it out.", shorten(name))
		}
	})
	if p.name == "" {
		invalid(at+".name", "The parameter has no name, or its name is not a JSON string. Write _outputFormat, _type, _typeFilter or _since.")
	}
	p.name = shorten(p.name)
	return p, issues
}

// members calls yield for each member of an object, in order.
func members(object *fastjson.Value, yield func(name string, v *fastjson.Value)) {
	o, err := object.Object()
	if err != nil {
		return
	}
	o.Visit(func(key []byte, v *fastjson.Value) { yield(string(key), v) })
}

// pathText formats a path of the body as FHIRPath: ".parameter[2].name".
func pathText(path []strictjson.Step) string {
	var text strings.Builder
	for _, step := range path {
		if step.Name == nil {
			fmt.Fprintf(&text, "[%d]", step.Index)
		} else {
			text.WriteString("." + shorten(string(step.Name)))
		}
	}
	return text.String()
}
