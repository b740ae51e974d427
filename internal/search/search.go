package search

import (
	"slices"
	"time"

	"muster/internal/conformance"
	"muster/internal/fhir"
	"muster/internal/policy"
	"muster/internal/search/plan"
	"muster/internal/search/query"
)

// Compiler turns search text into plans, for one registry, base URL and zone.
type Compiler struct {
	reg *conformance.Registry
	set plan.Settings
}

// New makes a compiler. References may be absolute URLs below baseURL (no
// trailing slash); dates without a zone are read in loc.
func New(reg *conformance.Registry, baseURL string, loc *time.Location) *Compiler {
	return &Compiler{reg: reg, set: plan.Settings{Base: baseURL, Zone: loc, Near: plan.DefaultNear}}
}

// WithNear returns a compiler that takes so many metres for the distance of a near
// that names none.
func (c Compiler) WithNear(metres float64) *Compiler {
	c.set.Near = metres
	return &c
}

// Filter is an accepted _typeFilter.
type Filter struct {
	Query query.Query // as the client asked, without implied criteria
}

// Text returns the canonical text, which [Compiler.ExportFilter] reads as the
// same filter.
func (f Filter) Text() string { return f.Query.String() }

// ExportFilter reads and checks one _typeFilter (KO-25, KO-27, KO-30..35) of a client
// that may learn so much of suppressed resources. The
// error is fhir.Issues with every problem of the text, also what
// [Compiler.ExportPlan] would refuse. State parameters are checked like others,
// since _since exempts from nothing (KO-31).
func (c *Compiler) ExportFilter(text string, may policy.Suppressed) (Filter, error) {
	q, err := query.Parse(text)
	q = policy.Resolve(c.reg, q)
	issues, _ := fhir.AsIssues(err)
	if err != nil && len(q.Params) == 0 {
		return Filter{}, err // nothing else to look at
	}
	issues = slices.Concat(may.Check(c.reg, q), issues, policy.Check(c.reg, q))
	if _, err := plan.Build(c.reg, policy.ForSearch(c.sound(q)), c.set); err != nil {
		more, _ := fhir.AsIssues(err)
		issues = append(issues, more...)
	}
	if err := issues.Err(); err != nil {
		return Filter{}, err
	}
	return Filter{Query: q}, nil
}

// sound leaves out the criteria that the policy refuses, so that the planner does
// not report them a second time.
func (c *Compiler) sound(q query.Query) query.Query {
	q.Params = slices.DeleteFunc(slices.Clone(q.Params), func(p query.Param) bool {
		return len(policy.CheckCriterion(c.reg, q, p)) > 0
	})
	return q
}

// SearchPlan plans accepted criteria for a search: visible resources only, unless
// the client names the state (VI-01, VI-04).
func (c *Compiler) SearchPlan(f Filter) (plan.Plan, error) {
	return plan.Build(c.reg, policy.ForSearch(f.Query), c.set)
}

// ExportPlan plans an accepted filter for one export: with since nil as a search
// does (VI-09), with a since for all that was committed strictly after it, in any
// state (VI-10..13), or in any but suppressed.
func (c *Compiler) ExportPlan(f Filter, since *fhir.Instant, withoutSuppressed bool) (plan.Plan, error) {
	if since == nil {
		return c.SearchPlan(f)
	}
	p, err := plan.Build(c.reg, policy.ForDelta(f.Query, withoutSuppressed), c.set)
	if err != nil {
		return p, err
	}
	return p.With(plan.Since{After: *since}), nil
}
