package export

import (
	"fmt"
	"slices"
	"strings"

	"muster/internal/fhir"
	"muster/internal/policy"
	"muster/internal/search"
	"muster/internal/search/query"
)

// ParseRequest parses the body of a kick-off (KO-10 to KO-39) in stages. The first stage that
// finds problems returns all of its problems as [fhir.Issues] (KO-38):
//
//  1. the body is a Parameters resource (KO-10, KO-11);
//  2. the required parameters are present, none is repeated that must not be, and their
//     values have the right types (KO-13, KO-20 to KO-23, KO-36, KO-37);
//  3. each filter names its type, and all types are among the seven (KO-24, KO-25);
//  4. there is one filter for each type and one type for each filter (KO-26 to
//     KO-29);
//  5. each filter is valid for an export (KO-30 to KO-35).
//
// may is what the client may learn. The third stage refuses types that it does not reach (SC-06) and
// an export that its policy does not allow, the fifth stage filters that ask for more. The
// request does not refer to the body.
func ParseRequest(body []byte, c *search.Compiler, r Rules, may policy.Access) (Request, error) {
	parameters, issues := readParameters(body)
	if len(issues) > 0 {
		return Request{}, issues
	}
	asked, issues := readAsked(parameters, r)
	if len(issues) > 0 {
		return Request{}, issues
	}
	asked.readFilterTypes()
	if issues := asked.checkTypes(may); len(issues) > 0 {
		return Request{}, issues
	}
	if issues := asked.reconcile(r); len(issues) > 0 {
		return Request{}, issues
	}
	request := Request{Since: asked.since, WithoutSuppressed: asked.since != nil && !may.Suppressed.InDeltas(), Covered: may.Types}
	if request.updatesCopy() {
		request.RemovalList = r.RemovalList
	}
	request.Filters, issues = asked.compile(c, search.Export{
		Rules: policy.FilterRules{RefuseTypeTest: !r.ProvenanceTypeTestFilter}, May: may,
		Since: request.Since, WithoutSuppressed: request.WithoutSuppressed,
	})
	if len(issues) > 0 {
		return Request{}, issues
	}
	return request, nil
}

// asked holds the values of the parameters, each with its place.
type asked struct {
	types   []piece       // the names in _type, in order
	filters []filter      // the values of _typeFilter
	since   *fhir.Instant // nil when there is none
}

// filter is one _typeFilter.
type filter struct {
	piece
	typ     fhir.Type // 0 if the filter names none of the directory
	untyped error     // why the type cannot be read
}

// piece is a text of the request, and the FHIRPath of the element that holds it.
type piece struct{ text, at string }

// The names of the parameters.
const (
	outputFormat = "_outputFormat"
	typeList     = "_type"
	typeFilter   = "_typeFilter"
	since        = "_since"
)

const ndjson = "application/fhir+ndjson"

// readAsked is the second stage, which reads each parameter.
func readAsked(parameters []parameter, r Rules) (asked, fhir.Issues) {
	var a asked
	var issues fhir.Issues
	count := map[string]int{}
	for _, p := range parameters {
		count[p.name]++
		switch p.name {
		case outputFormat:
			issues = append(issues, p.check("valueString", func(v string) error { return checkFormat(v, r) })...)
		case typeList:
			issues = append(issues, p.check("valueString", func(v string) error { return a.addTypes(v, p.value.at) })...)
		case typeFilter:
			issues = append(issues, p.check("valueString", func(v string) error {
				a.filters = append(a.filters, filter{piece: piece{v, p.value.at}})
				return nil
			})...)
		case since:
			issues = append(issues, p.check("valueInstant", func(v string) error {
				instant, err := fhir.ParseInstant(v)
				a.since = &instant
				return err
			})...)
		default:
			issues = append(issues, fhir.Issue{Code: fhir.CodeNotSupported, Expression: p.at + ".name",
				Diagnostics: fmt.Sprintf("The parameter %q is not supported. An export takes _outputFormat, _type, _typeFilter and _since.", p.name)})
		}
	}
	return a, append(issues, checkCounts(count, r)...)
}

// checkCounts checks how often each parameter occurs against the profile (KO-13, KO-37).
func checkCounts(count map[string]int, r Rules) (issues fhir.Issues) {
	missing := func(name, write string) {
		if count[name] == 0 {
			issues = append(issues, fhir.Issue{Code: fhir.CodeInvalid, Expression: "Parameters.parameter",
				Diagnostics: fmt.Sprintf("The parameter %s is missing. Write %s.", name, write)})
		}
	}
	if !r.CompatOutputFormat {
		missing(outputFormat, ndjson)
	}
	missing(typeList, "the resource types to export, such as Practitioner,Organization")
	if !r.LenientMissingTypeFilter {
		missing(typeFilter, "one filter for each type, such as Practitioner?_lastUpdated=ge1900-01-01")
	}
	for _, name := range []string{outputFormat, since} {
		if count[name] > 1 {
			issues = append(issues, fhir.Issue{Code: fhir.CodeInvalid, Expression: "Parameters.parameter",
				Diagnostics: fmt.Sprintf("The parameter %s occurs %d times in the request. Write it once.", name, count[name])})
		}
	}
	return issues
}

// checkFormat checks the value of _outputFormat without regard to case (KO-20).
func checkFormat(value string, r Rules) error {
	formats := []string{ndjson}
	if r.CompatOutputFormat {
		formats = append(formats, "application/ndjson", "ndjson")
	}
	for _, f := range formats {
		if strings.EqualFold(value, f) {
			return nil
		}
	}
	return fmt.Errorf("%q is not a supported format of an export: write %s", value, strings.Join(formats, " or "))
}

// addTypes reads one value of _type, a comma-separated list that may contain white space
// (KO-21).
func (a *asked) addTypes(value, at string) error {
	if n := strings.Count(value, ",") + 1; n > maxParameters {
		return fmt.Errorf("it lists %d types: list each of the seven types at most once", n)
	}
	for n, name := range strings.Split(value, ",") {
		name = strings.TrimSpace(name)
		if name == "" {
			return fmt.Errorf("entry %d of the list of types %q is empty: separate type names by one comma", n+1, value)
		}
		a.types = append(a.types, piece{name, at})
	}
	return nil
}

// checkTypes is the third stage: what it refuses is answered with 403 (KO-25, SC-06).
func (a asked) checkTypes(may policy.Access) (issues fhir.Issues) {
	refuse := func(name, at string) {
		t, ok := fhir.ParseType(name)
		if missing := may.Check(fhir.TypesOf(t)); ok && missing != nil {
			issues = append(issues, placed(missing, at)...)
		}
		if !ok {
			issues = append(issues, fhir.Issue{Code: fhir.CodeNotSupported, Reason: fhir.TypeNotExportable, Expression: at,
				Diagnostics: fmt.Sprintf("%q cannot be exported. The types are %s; names are case-sensitive.", name, fhir.Names(fhir.Types()))})
		}
	}
	for _, t := range a.types {
		refuse(t.text, t.at)
	}
	if may.DeltasOnly && !(Request{Since: a.since}).updatesCopy() {
		issues = append(issues, fhir.Issue{Code: fhir.CodeForbidden, Expression: "Parameters.parameter", Diagnostics: "This client may only ask for changes: " +
			"write _since with the transactionTime of the export that the copy has last, or ask the operator of the directory for a full export."})
	}
	for _, f := range a.filters {
		if problems, _ := fhir.AsIssues(f.untyped); slices.ContainsFunc(problems, notExportable) {
			issues = append(issues, placed(problems, f.at)...)
		}
	}
	return issues
}

func notExportable(i fhir.Issue) bool { return i.Reason == fhir.TypeNotExportable }

// readFilterTypes reads the type of each filter. The fifth stage parses the whole filters,
// when there is at most one for each type.
func (a *asked) readFilterTypes() {
	for n := range a.filters {
		f := &a.filters[n]
		f.typ, f.untyped = query.ParseType(f.text)
	}
}

// reconcile is the fourth stage, which matches types and filters one to one: the invariant
// hcpd-exp-1 (KO-29).
func (a *asked) reconcile(r Rules) (issues fhir.Issues) {
	invalid := func(at, format string, args ...any) {
		issues = append(issues, fhir.Issue{Code: fhir.CodeInvalid, Expression: at, Diagnostics: fmt.Sprintf(format, args...)})
	}
	listed := map[string]bool{}
	for _, t := range a.types {
		if listed[t.text] {
			invalid(t.at, "The type %s is listed twice in _type. List each type once.", t.text)
		}
		listed[t.text] = true
	}
	filtered := map[string]bool{}
	for _, f := range a.filters {
		target := f.typ.String()
		switch {
		case f.typ == 0:
			invalid(f.at, "The filter %q does not begin with a type. Write Type?parameters, such as Practitioner?family=Smith.", shorten(f.text))
		case !listed[target]:
			invalid(f.at, "The filter is for %s, which is not listed in _type. List the type, or leave the filter out.", target)
		case filtered[target]:
			invalid(f.at, "There is more than one filter for %s. Write one for each type.", target)
		}
		filtered[target] = true
	}
	for _, t := range a.types {
		if filtered[t.text] {
			continue
		}
		filtered[t.text] = true
		if r.LenientMissingTypeFilter {
			a.filters = append(a.filters, filter{piece: piece{t.text + "?_lastUpdated=ge1900-01-01", t.at}})
			continue
		}
		invalid(t.at, "The type %s has no filter. Write a _typeFilter for it, such as %s?_lastUpdated=ge1900-01-01 for all of them.", t.text, t.text)
	}
	return issues
}

// shorten shortens a text that a response quotes.
func shorten(text string) string {
	const most = 80
	runes := []rune(text)
	if len(runes) <= most {
		return text
	}
	return string(runes[:most]) + "…"
}

// compile is the fifth stage, which compiles each filter as a search is compiled (D1). The
// filters are in the order of the types.
func (a asked) compile(c *search.Compiler, e search.Export) (filters []search.Filter, issues fhir.Issues) {
	compiled := map[fhir.Type]search.Filter{}
	for _, f := range a.filters {
		filter, err := c.ExportFilter(f.text, e)
		if err != nil {
			issues = append(issues, placed(err, f.at)...)
			continue
		}
		compiled[filter.Query.Type] = filter
	}
	if len(issues) > 0 {
		return nil, issues
	}
	for _, name := range a.types {
		t, _ := fhir.ParseType(name.text)
		filters = append(filters, compiled[t])
	}
	return filters, nil
}

// placed returns the issues of a filter with the element that holds the filter.
func placed(err error, at string) fhir.Issues {
	found, ok := fhir.AsIssues(err)
	if !ok {
		found = fhir.Issues{{Code: fhir.CodeInvalid, Diagnostics: err.Error()}}
	}
	issues := make(fhir.Issues, len(found))
	for n, i := range found {
		i.Expression = at
		issues[n] = i
	}
	return issues
}
