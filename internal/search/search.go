package search

import (
	"cmp"
	"slices"
	"time"

	"muster/internal/conformance"
	"muster/internal/fhir"
	"muster/internal/policy"
	"muster/internal/search/bound"
	"muster/internal/search/plan"
	"muster/internal/search/query"
)

// Compiler turns search text into plans, for one registry, base URL and zone.
type Compiler struct {
	reg   *conformance.Registry
	names bound.Registry // reg; a test counts the look-ups
	set   plan.Settings
}

// New returns a compiler. Absolute references below baseURL, which has no trailing slash,
// are references into the directory. Dates without a zone are in loc.
func New(reg *conformance.Registry, baseURL string, loc *time.Location) *Compiler {
	target, _ := reg.Param(fhir.Provenance, "target")
	return &Compiler{reg: reg, names: reg, set: plan.Settings{Bases: []string{baseURL}, Zone: loc, Near: plan.DefaultNear, Target: target}}
}

// At returns a compiler that also reads absolute references below other base URLs of the
// directory, such as former ones. An empty URL is ignored.
func (c Compiler) At(bases ...string) *Compiler {
	c.set.Bases = slices.Concat(c.set.Bases, bases)
	return &c
}

// WithNear returns a compiler whose near without a distance finds resources within metres.
func (c Compiler) WithNear(metres float64) *Compiler {
	c.set.Near = metres
	return &c
}

// Export is what the plan of a filter depends on besides its text.
type Export struct {
	Rules policy.FilterRules
	May   policy.Access // what the client may learn

	Since             *fhir.Instant // finds what was committed strictly after it (VI-12); nil for a full export
	WithoutSuppressed bool          // with Since: leaves out suppressed resources
}

// Filter is an accepted _typeFilter.
type Filter struct {
	Query query.Query // as the client wrote it, with the names of the definitions
	Plan  plan.Plan   // of its export
	// Reaches are the types about which the resources of the export tell something.
	Reaches fhir.TypeSet
}

// Text returns the canonical text, which [Compiler.ExportFilter] reads as the
// same filter.
func (f Filter) Text() string { return f.Query.String() }

// Canonical returns text that is the same for filters that mean the same and differ only in the order
// of their criteria.
func (f Filter) Canonical() string { return f.Query.Canonical() }

// ExportFilter parses, binds, checks and plans a _typeFilter (KO-25, KO-27, KO-30..35). The
// error is fhir.Issues with every problem of the text. Without e.Since, the plan finds what
// a search finds (VI-09). With it, the plan finds changed resources in any state, and criteria
// for states have no effect (VI-10..13). A filter that is invalid or not permitted is
// rejected in both cases (KO-31).
func (c *Compiler) ExportFilter(text string, e Export) (Filter, error) {
	visible := func(q bound.Query) bound.Query { return policy.ForSearch(q, e.May.Types) }
	if e.Since != nil {
		visible = func(q bound.Query) bound.Query { return policy.ForDelta(q, e.May.Types, e.WithoutSuppressed) }
	}
	f, err := c.filter(text, e.Rules, e.May, visible)
	if err == nil && e.Since != nil {
		f.Plan = f.Plan.With(plan.Since{After: *e.Since})
	}
	return f, err
}

// OperatorFilter is [Compiler.ExportFilter] for the operator of the directory: the plan finds
// resources in any state, and criteria for states narrow it.
func (c *Compiler) OperatorFilter(text string) (Filter, error) {
	return c.filter(text, policy.FilterRules{}, policy.FullAccess(), policy.ForOperator)
}

// filter compiles a filter; visible sets its visibility.
func (c *Compiler) filter(text string, r policy.FilterRules, may policy.Access, visible func(bound.Query) bound.Query) (Filter, error) {
	q, unread := query.Parse(text)
	if unread != nil && len(q.Params) == 0 {
		return Filter{}, unread // there is nothing else to check
	}
	found := bound.Bind(c.names, q)
	allowed, refused := policy.CheckFilter(found, r, may)
	p, err := plan.Build(visible(allowed), c.set)
	if err := join(unread, refused, err).Err(); err != nil {
		return Filter{}, err
	}
	return Filter{Query: found.Parsed, Plan: p, Reaches: reaches(p, may.Types)}, nil
}

// reaches returns the types about which the resources that a plan finds tell something, for a client
// that reaches some types: those that the plan reads and, with a Provenance, all that it may be about.
func reaches(p plan.Plan, types fhir.TypeSet) fhir.TypeSet {
	if read := fhir.TypesOf(p.Types()...); !read.Has(fhir.Provenance) {
		return read
	}
	return types
}

// join puts the problems of the stages into one list: what the client may not ask comes
// first, since it decides the status of the response.
func join(unread error, refused fhir.Issues, unplanned error) fhir.Issues {
	first, _ := fhir.AsIssues(unread)
	last, _ := fhir.AsIssues(unplanned)
	issues := slices.Concat(first, refused, last)
	slices.SortStableFunc(issues, func(a, b fhir.Issue) int { return cmp.Compare(rank(a), rank(b)) })
	return issues
}

func rank(i fhir.Issue) int {
	if i.Code == fhir.CodeForbidden {
		return 0
	}
	return 1
}
