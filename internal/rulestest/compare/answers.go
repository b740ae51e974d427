package compare

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"

	"muster/internal/rulestest"
)

// inactiveStates are the criteria that name the states of resources that are not active.
func inactiveStates(typ string) string {
	if typ == "Location" || typ == "Endpoint" {
		return "status=inactive,suspended,off,error"
	}
	return "active=false"
}

// compareAnswers compares searches and reads over HTTP.
func (c *Comparison) compareAnswers(ctx context.Context) error {
	for _, t := range rulestest.Types {
		if err := c.compareSearch(ctx, t, c.written(), rulestest.Ask{}, func(rulestest.State) bool { return true }); err != nil {
			return err
		}
		if t == "Provenance" {
			continue // it has no state to name
		}
		inactive, suppressed := c.written()+"&"+inactiveStates(t), c.written()+"&suppressed=true"
		if err := c.compareSearch(ctx, t, inactive, rulestest.Ask{AnyActivity: true}, func(st rulestest.State) bool { return st.Inactive }); err != nil {
			return err
		}
		if err := c.compareSearch(ctx, t, suppressed, rulestest.Ask{AnySuppression: true}, func(st rulestest.State) bool { return st.Suppressed }); err != nil {
			return err
		}
	}
	if err := c.compareIncludes(ctx); err != nil {
		return err
	}
	return c.compareReads(ctx)
}

// compareSearch compares a search of one type. keep says which states its criteria name.
func (c *Comparison) compareSearch(ctx context.Context, typ, query string, ask rulestest.Ask, keep func(rulestest.State) bool) error {
	matches, _, err := c.search(ctx, typ+"?"+query)
	if err != nil {
		return err
	}
	var want []rulestest.Name
	for n, r := range c.view {
		if n.Type == typ && keep(r.State) && c.view.Finds(n, ask) {
			want = append(want, n)
		}
	}
	return sameNames("a search of "+typ+"?"+query, matches, rulestest.Sorted(want))
}

// links are the references that a search of roles includes.
var links = []rulestest.Link{
	{From: "PractitionerRole", Element: "organization", To: "Organization"},
	{From: "PractitionerRole", Element: "practitioner", To: "Practitioner"},
	{From: "PractitionerRole", Element: "endpoint", To: "Endpoint"},
	{From: "PractitionerRole", Element: "healthcareService", To: "HealthcareService"},
}

// compareIncludes compares what a search of roles includes: visible resources alone.
func (c *Comparison) compareIncludes(ctx context.Context) error {
	visible := func(n rulestest.Name) bool { return c.view.Finds(n, rulestest.Ask{}) }
	const query = "&_include=PractitionerRole:organization&_include=PractitionerRole:practitioner&_include=PractitionerRole:endpoint" +
		"&_include=PractitionerRole:service&_revinclude=Provenance:target"
	_, included, err := c.search(ctx, "PractitionerRole?"+c.written()+query)
	if err != nil {
		return err
	}
	var want []rulestest.Name
	for _, link := range links {
		want = append(want, c.view.Follow(link, true, visible)...)
	}
	want = append(want, c.view.Follow(rulestest.Link{From: "Provenance", Element: "target", To: "PractitionerRole"}, false, visible)...)
	return sameNames("the includes of a search of roles", slices.Compact(included), slices.Compact(rulestest.Sorted(want)))
}

// allReads is after how many steps all resources are read again.
const allReads = 8

// compareReads compares the reads of the resources that the last step has changed, after some steps
// of all that ever were.
func (c *Comparison) compareReads(ctx context.Context) error {
	since := len(c.times) - 2 // the end of the step before
	if len(c.times)%allReads == 0 {
		since = 0
	}
	output, deleted := c.changed(since)
	for _, n := range append(output, deleted...) {
		status, body, err := c.target.Get(ctx, n.String())
		if err != nil {
			return err
		}
		visible := c.view.Finds(n, rulestest.Ask{})
		switch {
		case visible && status == http.StatusOK:
			if l := c.lines[n]; string(body) != l.text {
				return differ(n, "a read of %s is\n%s\nbut an export has\n%s", n, body, l.text)
			}
		case visible || status != http.StatusNotFound:
			return differ(n, "a read of %s has status %d, visible in the model: %t", n, status, visible)
		}
	}
	return nil
}

// searchset is a page of results.
type searchset struct {
	Total *int
	Entry []struct {
		Resource json.RawMessage
		Search   struct{ Mode string }
	}
	Link []struct{ Relation, URL string }
}

// search returns the matches and the included resources of all pages of a search, sorted. Each
// must have the line that an export has, if one has held it.
func (c *Comparison) search(ctx context.Context, query string) (matches, included []rulestest.Name, err error) {
	matches, included = []rulestest.Name{}, []rulestest.Name{}
	total := 0
	for next := query; next != ""; {
		page, err := c.page(ctx, next)
		if err != nil {
			return nil, nil, err
		}
		for _, e := range page.Entry {
			if e.Search.Mode == "outcome" {
				continue
			}
			l, err := c.read(e.Resource)
			if err != nil {
				return nil, nil, err
			}
			if err := c.checkLine(l); err != nil {
				return nil, nil, err
			}
			if e.Search.Mode == "match" {
				matches = append(matches, l.name)
			} else {
				included = append(included, l.name)
			}
		}
		if next = page.next(); page.Total != nil {
			total = *page.Total
		}
	}
	if total != len(matches) {
		return nil, nil, fmt.Errorf("GET %s: the total is %d, but the pages have %d matches", query, total, len(matches))
	}
	return rulestest.Sorted(matches), rulestest.Sorted(included), nil
}

// page requests a page of a search.
func (c *Comparison) page(ctx context.Context, query string) (page searchset, err error) {
	status, body, err := c.target.Get(ctx, query)
	if err != nil {
		return page, err
	}
	if status != http.StatusOK {
		return page, fmt.Errorf("GET %s: %d: %s", query, status, body)
	}
	if err := json.Unmarshal(body, &page); err != nil {
		return page, fmt.Errorf("GET %s: %w", query, err)
	}
	return page, nil
}

// next returns the URL of the next page, empty if there is none.
func (p searchset) next() string {
	for _, link := range p.Link {
		if link.Relation == "next" {
			return link.URL
		}
	}
	return ""
}
