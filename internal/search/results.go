package search

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"muster/internal/conformance"
	"muster/internal/fhir"
	"muster/internal/search/query"
)

// MaxCount is the number of matches of a full page: the most that _count gets, and
// what it is without a value (PG-02, PG-03, A-19).
const MaxCount = 30

// ResultParams are the result parameters of a search: what the answer looks like.
type ResultParams struct {
	Count    int // matches of a page, 1 to MaxCount
	Total    Total
	Includes []Include // in the order of the client
	Form     Representation
}

// Total says how far matches are counted.
type Total string

// The totals. Without _total the number is given where it is cheap to know.
const (
	TotalUsual    Total = ""
	TotalNone     Total = "none"
	TotalEstimate Total = "estimate"
	TotalAccurate Total = "accurate"
)

// Include is one _include, or _revinclude if Reverse is set. With Iterate it is
// applied to included resources too.
type Include struct {
	conformance.Include
	Reverse, Iterate bool
}

// Representation is the form of the resources in an answer, and of the answer.
type Representation struct {
	Summary  Summary
	Elements []fhir.Element // those asked for with _elements; none means all
	Pretty   bool           // with line breaks, for people
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

// resultNames are the parameters that shape the answer of a search and are no
// criteria.
var resultNames = []string{"_count", "_elements", "_format", "_include", "_pretty", "_revinclude", "_sort", "_summary", "_total"}

func isResult(p query.Param) bool {
	l, ok := p.(query.Criterion)
	return ok && slices.Contains(resultNames, l.Name)
}

// readNames are those of them that a read takes too (RD-07).
var readNames = []string{"_elements", "_format", "_pretty", "_summary"}

// resultReader reads the result parameters of one text.
type resultReader struct {
	reg     *conformance.Registry
	q       query.Query
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

// read takes one parameter.
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
	if r.seen[l.Name] {
		r.invalid(l.At, "stands there a second time: write %s once", l.Name)
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
	case "_format": // the HTTP side looks at it, together with Accept
	}
}

// text is a value as it was written, but for the escapes.
func text(v query.Value) string { return strings.Join(v.Parts, "|") }

// word reads a value out of a list.
func (r *resultReader) word(l query.Criterion, words ...string) string {
	if len(l.Values) == 1 && slices.Contains(words, text(l.Values[0])) {
		return text(l.Values[0])
	}
	r.invalid(l.At, "has another value than %s takes: write one of %s", l.Name, strings.Join(words, ", "))
	return ""
}

// count reads _count (PG-02, PG-03, PG-06).
func (r *resultReader) count(l query.Criterion) {
	n, err := -1, error(nil)
	if len(l.Values) == 1 {
		n, err = ParseCount(text(l.Values[0]))
	}
	if n < 0 || err != nil {
		r.invalid(l.At, "is no number of entries: write a whole number such as _count=%d, which is also the most that a page has", MaxCount)
		return
	}
	r.results.Count = n
}

// ParseCount reads the value of a _count as the size of a page: larger numbers and 0
// are [MaxCount].
func ParseCount(text string) (int, error) {
	digits := strings.TrimLeft(text, "0123456789")
	if text == "" || digits != "" {
		return 0, fmt.Errorf("%q is not a whole number from 0", text)
	}
	n, err := strconv.Atoi(text)
	if err != nil || n == 0 || n > MaxCount { // digits that do not fit an int are many
		return MaxCount, nil
	}
	return n, nil
}

// elements reads _elements: names of elements at the root of the type.
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

// check refuses what only the parameters together show to be wrong.
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
