package search

import (
	"slices"
	"strconv"
	"strings"

	"muster/internal/fhir"
	"muster/internal/policy"
	"muster/internal/search/bound"
	"muster/internal/search/plan"
	"muster/internal/search/query"
)

// SearchRequest is an accepted search URL: what to find, in which order, and in which form
// to respond.
type SearchRequest struct {
	Query   query.Query // the criteria as the client wrote them, with the names of the definitions
	Visible bound.Visibility
	Plan    plan.Plan
	Order   []plan.Order // empty without _sort
	Results ResultParams
	// Reaches are the types about which the response tells something. Those to which an include
	// leads are among them only if it names one.
	Reaches fhir.TypeSet

	params []query.Param // criteria and result parameters in the order of the client
}

// SearchURL parses and checks the query of a search URL, the raw text after the question
// mark. may says what the client may learn. The error is
// fhir.Issues with every problem, each with its place in "Type?…" (SR-03 to SR-54, TR-01
// to TR-05).
func (c *Compiler) SearchURL(t fhir.Type, rawQuery string, rules policy.SearchRules, may policy.Access) (SearchRequest, error) {
	all, unread := parseURL(t, rawQuery)
	if unread != nil && len(all.Params) == 0 {
		return SearchRequest{}, unread // there is nothing else to check
	}
	criteria := all
	criteria.Params = slices.DeleteFunc(slices.Clone(all.Params), isResult)
	// A part that could not be read may be the one that narrows the search.
	rules.RequireSubstantive = rules.RequireSubstantive && unread == nil
	found := bound.Bind(c.names, criteria)
	allowed, refused := policy.CheckSearch(found, rules, may)
	allowed = policy.ForSearch(allowed, may.Types)
	p, err := plan.Build(allowed, c.set)
	r := c.readResults(all, may)
	var order []plan.Order
	if err == nil {
		order = r.bindOrder(p)
	}
	if err := append(join(unread, refused, err), r.issues...).Err(); err != nil {
		return SearchRequest{}, err
	}
	return SearchRequest{
		Query: allowed.Parsed, Visible: allowed.Visibility, Plan: p, Order: order, Results: r.results,
		Reaches: reaches(p, may.Types) | r.named, params: inEffect(all.Params, allowed.Parsed.Params),
	}, nil
}

// inEffect returns the parameters in the order of the client, without those that have no
// value: criteria are those that remain, with the names of the definitions.
func inEffect(all, criteria []query.Param) []query.Param {
	var params []query.Param
	for _, p := range all {
		if l, ok := p.(query.Criterion); ok && isResult(p) {
			if !l.Empty() {
				params = append(params, p)
			}
			continue
		}
		if len(criteria) > 0 && criteria[0].Where() == p.Where() {
			params, criteria = append(params, criteria[0]), criteria[1:]
		}
	}
	return params
}

// ReadURL parses and checks the query of the URL of one resource, the raw text after the
// question mark (RD-07). The error is fhir.Issues with every problem.
func (c *Compiler) ReadURL(t fhir.Type, rawQuery string) (Representation, error) {
	all, err := parseURL(t, rawQuery)
	if err != nil {
		return Representation{}, err
	}
	var issues fhir.Issues
	for _, p := range all.Params {
		if problem := onRead(t, p); problem != "" {
			issues = append(issues, fhir.Issue{Code: fhir.CodeInvalid, Diagnostics: all.Place(p.Where()) + " " + problem})
		}
	}
	if err := issues.Err(); err != nil {
		return Representation{}, err
	}
	r := c.readResults(all, policy.Access{}) // a read takes no includes
	if r.results.Form.Summary == SummaryCount {
		r.issues = append(r.issues, fhir.Issue{Code: fhir.CodeInvalid, Diagnostics: "_summary=count counts the matches of a search: a read takes true, text, data and false."})
	}
	return r.results.Form, r.issues.Err()
}

// Visible plans a search for the resources of type t with these ids that are visible to a client
// that reaches types (VI-01, VI-02, VI-08, VI-14).
func (c *Compiler) Visible(t fhir.Type, ids []string, types fhir.TypeSet) (plan.Plan, error) {
	p, err := plan.Build(policy.ForSearch(bound.Query{Type: t}, types), c.set)
	return p.With(plan.IDs(ids)), err
}

// Changed plans an export of the resources of type t that were committed strictly after since, in
// any state, for a client that reaches types.
func (c *Compiler) Changed(t fhir.Type, since fhir.Instant, types fhir.TypeSet) (plan.Plan, error) {
	p, err := plan.Build(policy.ForDelta(bound.Query{Type: t}, types, false), c.set)
	return p.With(plan.Since{After: since}), err
}

// onRead returns why a parameter is not allowed in a read, the empty text if it is (RD-06,
//
func onRead(t fhir.Type, p query.Param) string {
	l, ok := p.(query.Criterion)
	switch {
	case ok && slices.Contains(readNames, l.Name):
		return ""
	case ok && (l.Name == "_include" || l.Name == "_revinclude"):
		return "belongs to a search: write " + t.String() + "?_id=…&" + l.Name + "=… to get a resource together with others"
	}
	return "is not allowed in a read, which takes " + strings.Join(readNames, ", ") + ": search with " + t.String() + "?_id=… for more"
}

// parseURL parses the query of a URL. A plus sign in it is a space, as HTML forms encode
// it. Both are one character, so places do not change.
func parseURL(t fhir.Type, rawQuery string) (query.Query, error) {
	return query.Parse(t.String() + "?" + strings.ReplaceAll(rawQuery, "+", " "))
}

func (c *Compiler) readResults(all query.Query, may policy.Access) *resultReader {
	r := &resultReader{reg: c.reg, q: all, may: may, seen: map[string]bool{}, results: ResultParams{Count: MaxCount}}
	for _, p := range all.Params {
		if isResult(p) {
			r.read(p.(query.Criterion))
		}
	}
	r.check()
	return r
}

// Text returns the canonical text of the search without the base URL, for the link self:
// the criteria, the result parameters, and the actual page size.
func (q SearchRequest) Text() string {
	shown := q.Query
	shown.Params = nil
	for _, p := range q.params {
		if l, ok := p.(query.Criterion); !ok || !slices.Contains([]string{"_count", "_format", "_pretty"}, l.Name) {
			shown.Params = append(shown.Params, p)
		}
	}
	text := shown.String()
	if len(shown.Params) > 0 {
		text += "&"
	}
	return text + "_count=" + strconv.Itoa(q.Results.Count)
}
