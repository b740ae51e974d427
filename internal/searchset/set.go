package searchset

import (
	"muster/internal/fhir"
	"muster/internal/search"
	"muster/internal/search/plan"
	"muster/internal/store"
)

// set is what a search has found, as far as pages go, with everything that they depend
// on. It is what a token holds.
type set struct {
	typ     fhir.Type
	keys    []store.RowKey // in the order of the search, at most MaxMatches
	more    bool           // there are more matches than keys
	total   int64          // the number of matches; -1 if it was not asked for or not counted to the end
	visible plan.Visible   // what was true of all matches, and must be on every page

	summary  search.Summary
	elements []fhir.Element
	includes []search.Include
}

func newSet(q search.SearchRequest, found store.SearchResult) set {
	s := set{
		typ: q.Plan.Type, total: -1,
		summary: q.Results.Form.Summary, elements: q.Results.Form.Elements, includes: q.Results.Includes,
	}
	s.more = len(found.Rows) > MaxMatches
	// A search may name the state and mean the usual one (active=true): what counts is
	// which states it found, so that no page shows one that is hidden since (PG-08).
	s.visible = plan.Visible{Active: true, NotSuppressed: true}
	for _, row := range found.Rows[:min(len(found.Rows), MaxMatches)] {
		s.keys = append(s.keys, row.Key)
		s.visible = s.visible.Admitting(row.Visibility)
	}
	if found.Exact && (q.Results.Total != search.TotalNone || s.summary == search.SummaryCount) {
		s.total = found.Total
	}
	return s
}

// form is the form of the matches.
func (s set) form() search.Representation {
	return search.Representation{Summary: s.summary, Elements: s.elements}
}
