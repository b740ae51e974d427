package searchset

import (
	"muster/internal/fhir"
	"muster/internal/search"
	"muster/internal/search/plan"
	"muster/internal/store"
)

// resultSet holds the matches of a search that paging can reach, and all settings that
// its pages need. It is the content of a token.
type resultSet struct {
	resourceType fhir.Type
	keys         []store.RowKey // in the order of the search, at most MaxMatches
	hasMore      bool           // there are more matches than keys
	total        int64          // number of matches; -1 if not requested or not exact
	visible      plan.Visible   // held for all matches, and must hold on every page
	reaches      fhir.TypeSet   // that the client of every page must reach

	summary  search.Summary
	elements []fhir.Element
	includes []search.Include
}

func newResultSet(q search.SearchRequest, found store.SearchResult) resultSet {
	s := resultSet{
		resourceType: q.Plan.Type, reaches: q.Reaches, total: -1,
		summary: q.Results.Form.Summary, elements: q.Results.Form.Elements, includes: q.Results.Includes,
	}
	s.hasMore = len(found.Rows) > MaxMatches
	// A search may name the state and match only the default one (active=true). So the
	// states of its matches decide, and no page shows a match that was hidden later
	// (PG-08).
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

// representation returns the representation of the matches.
func (s resultSet) representation() search.Representation {
	return search.Representation{Summary: s.summary, Elements: s.elements}
}
