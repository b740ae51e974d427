package compare

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
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
func (s *Sequence) compareAnswers(ctx context.Context) error {
	for _, t := range rulestest.Types {
		if err := s.compareSearch(ctx, t, s.written(), rulestest.Ask{}, func(rulestest.State) bool { return true }); err != nil {
			return err
		}
		if t == "Provenance" {
			continue // it has no state to name
		}
		inactive, suppressed := s.written()+"&"+inactiveStates(t), s.written()+"&suppressed=true"
		if err := s.compareSearch(ctx, t, inactive, rulestest.Ask{AnyActivity: true}, func(st rulestest.State) bool { return st.Inactive }); err != nil {
			return err
		}
		if err := s.compareSearch(ctx, t, suppressed, rulestest.Ask{AnySuppression: true}, func(st rulestest.State) bool { return st.Suppressed }); err != nil {
			return err
		}
	}
	if err := s.compareIncludes(ctx); err != nil {
		return err
	}
	return s.compareReads(ctx)
}

// compareSearch compares a search of one type. keep says which states its criteria name.
func (s *Sequence) compareSearch(ctx context.Context, typ, query string, ask rulestest.Ask, keep func(rulestest.State) bool) error {
	matches, _, err := s.search(ctx, typ+"?"+query)
	if err != nil {
		return err
	}
	var want []rulestest.Name
	for n, r := range s.History.View {
		if n.Type == typ && keep(r.State) && s.History.View.Finds(n, ask) {
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
func (s *Sequence) compareIncludes(ctx context.Context) error {
	view := s.History.View
	visible := func(n rulestest.Name) bool { return view.Finds(n, rulestest.Ask{}) }
	const query = "&_include=PractitionerRole:organization&_include=PractitionerRole:practitioner&_include=PractitionerRole:endpoint" +
		"&_include=PractitionerRole:service&_revinclude=Provenance:target"
	_, included, err := s.search(ctx, "PractitionerRole?"+s.written()+query)
	if err != nil {
		return err
	}
	var want []rulestest.Name
	for _, link := range links {
		want = append(want, view.Follow(link, true, visible)...)
	}
	want = append(want, view.Follow(rulestest.Link{From: "Provenance", Element: "target", To: "PractitionerRole"}, false, visible)...)
	return sameNames("the includes of a search of roles", included, slices.Compact(rulestest.Sorted(want)))
}

// compareReads compares the reads of all resources that ever were.
func (s *Sequence) compareReads(ctx context.Context) error {
	for _, all := range []map[rulestest.Name]rulestest.Object{s.History.World.Present, s.History.World.Gone} {
		for n := range all {
			status, body, err := s.target.Get(ctx, n.String())
			if err != nil {
				return err
			}
			visible := s.History.View.Finds(n, rulestest.Ask{})
			switch {
			case visible && status == http.StatusOK:
				if string(body) != s.lines[n].text {
					return differ("a read of %s is\n%s\nbut an export has\n%s", n, body, s.lines[n].text)
				}
			case visible || status != http.StatusNotFound:
				return differ("a read of %s has status %d, visible in the model: %t", n, status, visible)
			}
		}
	}
	return nil
}

// search returns the matches and the included resources of a search, sorted. Each must have the
// line that an export has, if one has held it.
func (s *Sequence) search(ctx context.Context, query string) (matches, included []rulestest.Name, err error) {
	status, body, err := s.target.Get(ctx, query)
	if err != nil {
		return nil, nil, err
	}
	if status != http.StatusOK {
		return nil, nil, fmt.Errorf("GET %s: %d: %s", query, status, body)
	}
	var bundle struct {
		Entry []struct {
			Resource json.RawMessage
			Search   struct{ Mode string }
		}
		Link []struct{ Relation, URL string }
	}
	if err := json.Unmarshal(body, &bundle); err != nil {
		return nil, nil, fmt.Errorf("GET %s: %w", query, err)
	}
	matches = []rulestest.Name{}
	for _, e := range bundle.Entry {
		if e.Search.Mode == "outcome" {
			continue
		}
		l, err := readLine(e.Resource)
		if err != nil {
			return nil, nil, err
		}
		if err := s.checkLine(l, s.History.View); err != nil {
			return nil, nil, err
		}
		if e.Search.Mode == "match" {
			matches = append(matches, l.name)
		} else {
			included = append(included, l.name)
		}
	}
	for _, link := range bundle.Link {
		if _, err := url.Parse(link.URL); err != nil || link.Relation == "next" {
			return nil, nil, fmt.Errorf("GET %s: more than one page", query)
		}
	}
	return rulestest.Sorted(matches), rulestest.Sorted(included), nil
}
