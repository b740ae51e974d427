package search

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"muster/internal/conformance"
	"muster/internal/fhir"
	"muster/internal/policy"
	"muster/internal/search/query"
)

// MaxCount is the maximum of _count, the number of matches on a page, and its default
// (PG-02, PG-03, A-19).
const MaxCount = 30

// ResultParams are the search result parameters, which shape the response.
type ResultParams struct {
	Count    int // matches on a page, 1 to MaxCount
	Total    Total
	Includes []Include // in the order of the client
	Form     Representation
}

// Total is the value of _total: how far matches are counted.
type Total string

// The totals. Without _total the response has the total if counting is cheap.
const (
	TotalUsual    Total = ""
	TotalNone     Total = "none"
	TotalEstimate Total = "estimate"
	TotalAccurate Total = "accurate"
)

// Include is one _include, or one _revinclude if Reverse is set. With Iterate it also applies
// to included resources.
type Include struct {
	conformance.Include
	Reverse, Iterate bool
}

// Representation is the form of a response and of the resources in it.
type Representation struct {
	Summary  Summary
	Elements []fhir.Element // of _elements; empty for all
	Pretty   bool           // with line breaks and indentation
}

// Summary is the value of _summary.
type Summary string

// The summaries.
const (
	SummaryFalse Summary = ""
	SummaryTrue  Summary = "true"
	SummaryText  Summary = "text"
	SummaryData  Summary = "data"
	SummaryCount Summary = "count"
)

// resultNames are the search result parameters, which are not criteria.
var resultNames = []string{"_count", "_elements", "_format", "_include", "_pretty", "_revinclude", "_sort", "_summary", "_total"}

func isResult(p query.Param) bool {
	l, ok := p.(query.Criterion)
	return ok && slices.Contains(resultNames, l.Name)
}

// readNames are the result parameters that a read takes too (RD-07).
var readNames = []string{"_elements", "_format", "_pretty", "_summary"}

// resultReader reads the result parameters of one query.
type resultReader struct {
	reg     *conformance.Registry
	q       query.Query
	may     policy.Access
	named   fhir.TypeSet // the types that includes name
	seen    map[string]bool
	results ResultParams
	order   []sortKey
	issues  fhir.Issues
}

func (r *resultReader) refuse(code fhir.Code, at query.Span, format string, args ...any) {
	r.issues = append(r.issues, fhir.Issue{Code: code, Diagnostics: r.q.Place(at) + " " + fmt.Sprintf(format, args...)})
}

func (r *resultReader) invalid(at query.Span, format string, args ...any) {
	r.refuse(fhir.CodeInvalid, at, format, args...)
}

// read reads one parameter.
func (r *resultReader) read(l query.Criterion) {
	reverse := l.Name == "_revinclude"
	if reverse || l.Name == "_include" {
		r.include(l, reverse)
		return
	}
	if l.Modifier != "" {
		r.invalid(l.NameAt, "has the modifier %q, which %s does not take: write %s=… without it", l.Modifier, l.Name, l.Name)
		return
	}
	if l.Empty() {
		return // asks for nothing (SR-26)
	}
	if r.seen[l.Name] {
		r.invalid(l.At, "is repeated: write %s once", l.Name)
		return
	}
	r.seen[l.Name] = true
	switch l.Name {
	case "_count":
		r.count(l)
	case "_elements":
		r.elements(l)
	case "_pretty":
		r.results.Form.Pretty = r.word(l, "true", "false") == "true"
	case "_sort":
		r.sort(l)
	case "_summary":
		if s := r.word(l, "true", "text", "data", "count", "false"); s != "false" {
			r.results.Form.Summary = Summary(s)
		}
	case "_total":
		r.results.Total = Total(r.word(l, "none", "estimate", "accurate"))
	case "_format": // package server reads it, together with the header Accept
	}
}

// text returns a value without its escapes.
func text(v query.Value) string { return strings.Join(v.Parts, "|") }

// word reads a value that must be one of words.
func (r *resultReader) word(l query.Criterion, words ...string) string {
	if len(l.Values) == 1 && slices.Contains(words, text(l.Values[0])) {
		return text(l.Values[0])
	}
	r.invalid(l.At, "has a value that %s does not take: write one of %s", l.Name, strings.Join(words, ", "))
	return ""
}

// count reads _count (PG-02, PG-03, PG-06).
func (r *resultReader) count(l query.Criterion) {
	n, err := -1, error(nil)
	if len(l.Values) == 1 {
		n, err = ParseCount(text(l.Values[0]))
	}
	if n < 0 || err != nil {
		r.invalid(l.At, "is not a valid page size: write a whole number such as _count=%d, which is also the maximum", MaxCount)
		return
	}
	r.results.Count = n
}

// ParseCount parses the value of _count into a page size. It returns [MaxCount] for 0 and
// for larger numbers.
func ParseCount(text string) (int, error) {
	digits := strings.TrimLeft(text, "0123456789")
	if text == "" || digits != "" {
		return 0, fmt.Errorf("%q is not a whole number from 0", text)
	}
	n, err := strconv.Atoi(text)
	if err != nil || n == 0 || n > MaxCount { // digits that overflow an int are a large number
		return MaxCount, nil
	}
	return n, nil
}

// elements reads _elements: names of top-level elements of the type.
func (r *resultReader) elements(l query.Criterion) {
	known := fhir.Elements(r.q.Type)
	for _, v := range l.Values {
		i := slices.IndexFunc(known, func(e fhir.Element) bool { return e.Name == text(v) })
		if i < 0 {
			r.invalid(v.At, "is not an element at the root of %s: use some of %s", r.q.Type, elementNames(known))
			continue
		}
		if !slices.Contains(r.results.Form.Elements, known[i]) {
			r.results.Form.Elements = append(r.results.Form.Elements, known[i])
		}
	}
}

func elementNames(list []fhir.Element) string {
	names := make([]string, len(list))
	for i, e := range list {
		names[i] = e.Name
	}
	return strings.Join(names, ", ")
}

// check refuses result parameters that contradict each other.
func (r *resultReader) check() {
	form := r.results.Form
	if len(form.Elements) > 0 && form.Summary != SummaryFalse && form.Summary != SummaryCount {
		r.issues = append(r.issues, fhir.Issue{Code: fhir.CodeInvalid, Diagnostics: "_elements and _summary both say which elements to send: write one of them."})
	}
	if form.Summary == SummaryText && len(r.results.Includes) > 0 {
		r.issues = append(r.issues, fhir.Issue{Code: fhir.CodeInvalid, Diagnostics: "_summary=text cannot be combined with _include or _revinclude: leave one of them out."})
	}
	r.checkSources()
}
