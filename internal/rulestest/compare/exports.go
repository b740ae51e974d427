package compare

import (
	"context"
	"fmt"
	"slices"

	"muster/internal/fhir"
	"muster/internal/policy"
	"muster/internal/rulestest"
	"muster/internal/search"
	"muster/internal/store"
)

// everything is a criterion that all resources meet.
const everything = "_lastUpdated=ge1900-01-01"

// written is the criterion of all resources of the sequence.
func (s *Sequence) written() string { return "_lastUpdated=gt" + s.times[0].String() }

// compareExports compares what exports of a snapshot hold.
func (s *Sequence) compareExports(ctx context.Context, snapshot store.Snapshot, since int) error {
	full, err := s.export(ctx, snapshot, search.Export{}, s.written)
	if err != nil {
		return err
	}
	if err := sameNames("a full export", namesOf(full), s.History.View.Visible()); err != nil {
		return err
	}
	last := len(s.times) - 1
	for _, since := range slices.Compact([]int{last, min(since, last)}) {
		if err := s.compareDelta(ctx, snapshot, since); err != nil {
			return err
		}
	}
	return s.compareChains(ctx, snapshot, last)
}

// compareDelta compares the deltas since the end of a step.
func (s *Sequence) compareDelta(ctx context.Context, snapshot store.Snapshot, since int) error {
	output, _ := s.History.Delta(since)
	after := s.times[since]
	lines, err := s.export(ctx, snapshot, search.Export{Since: &after}, everywhere)
	if err != nil {
		return err
	}
	what := fmt.Sprintf("a delta since step %d", since)
	if err := sameNames(what, namesOf(lines), output); err != nil {
		return err
	}
	lines, err = s.export(ctx, snapshot, search.Export{Since: &after, WithoutSuppressed: true}, everywhere)
	if err != nil {
		return err
	}
	shown := slices.DeleteFunc(output, func(n rulestest.Name) bool { return !s.History.View.InDelta(n) })
	return sameNames(what+" without suppressed resources", namesOf(lines), shown)
}

func everywhere() string { return everything }

// export returns the lines of an export of all types. It compares each line with the model.
func (s *Sequence) export(ctx context.Context, snapshot store.Snapshot, e search.Export, criteria func() string) (all []line, err error) {
	for _, t := range rulestest.Types {
		lines, err := s.find(ctx, snapshot, t+"?"+criteria(), e)
		if err != nil {
			return nil, err
		}
		all = append(all, lines...)
	}
	return all, nil
}

// find returns the lines of an export of one filter.
func (s *Sequence) find(ctx context.Context, snapshot store.Snapshot, filter string, e search.Export) (lines []line, err error) {
	e.May = policy.SuppressedOffered
	f, err := s.d.compiler.ExportFilter(filter, e)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", filter, err)
	}
	var keys []store.RowKey
	if err := snapshot.Select(ctx, f.Plan, func(key store.RowKey, _ int64) error {
		keys = append(keys, key)
		return nil
	}); err != nil {
		return nil, err
	}
	err = s.d.Store.ReadAsOf(ctx, keys, snapshot.Time(), func(_ store.RowKey, text []byte) error {
		l, err := readLine(text)
		if err != nil {
			return err
		}
		lines = append(lines, l)
		if l.lastUpdated > snapshot.Time() {
			return differ("%s was written at %v, after the transaction time", l.name, l.lastUpdated)
		}
		return s.checkLine(l)
	})
	return lines, err
}

// namesOf returns the names of lines, in the order of the model. Lines of one type are in any order.
func namesOf(lines []line) []rulestest.Name {
	names := []rulestest.Name{}
	for _, l := range lines {
		names = append(names, l.name)
	}
	return rulestest.Sorted(names)
}

// chain is a filter that follows a reference. All resources to which it leads have the name.
type chain struct {
	filter string
	rulestest.Link
	reverse bool // it finds what the reference leads to
}

var chains = []chain{
	{"PractitionerRole?organization.name=Zo", rulestest.Link{From: "PractitionerRole", Element: "organization", To: "Organization"}, false},
	{"PractitionerRole?practitioner.name=Zo", rulestest.Link{From: "PractitionerRole", Element: "practitioner", To: "Practitioner"}, false},
	{"Organization?partof.name=Zo", rulestest.Link{From: "Organization", Element: "partOf", To: "Organization"}, false},
	{"Provenance?target:Location.name=Zo", rulestest.Link{From: "Provenance", Element: "target", To: "Location"}, false},
	{"Organization?_has:Location:organization:name=Zo", rulestest.Link{From: "Location", Element: "managingOrganization", To: "Organization"}, true},
	{"Endpoint?_has:HealthcareService:endpoint:name=Zo", rulestest.Link{From: "HealthcareService", Element: "endpoint", To: "Endpoint"}, true},
}

// compareChains compares filters that follow references: over visible resources in a full export,
// over all in a delta.
func (s *Sequence) compareChains(ctx context.Context, snapshot store.Snapshot, since int) error {
	view := s.History.View
	output, _ := s.History.Delta(since)
	for _, c := range chains {
		lines, err := s.find(ctx, snapshot, c.filter+"&"+s.written(), search.Export{})
		if err != nil {
			return err
		}
		want := view.Follow(c.Link, c.reverse, func(n rulestest.Name) bool { return view.Finds(n, rulestest.Ask{}) })
		if err := sameNames(c.filter, namesOf(lines), want); err != nil {
			return err
		}
		after := s.times[since]
		if lines, err = s.find(ctx, snapshot, c.filter, search.Export{Since: &after}); err != nil {
			return err
		}
		want = view.Follow(c.Link, c.reverse, func(rulestest.Name) bool { return true })
		want = slices.DeleteFunc(want, func(n rulestest.Name) bool { return !slices.Contains(output, n) })
		if err := sameNames("a delta of "+c.filter, namesOf(lines), want); err != nil {
			return err
		}
	}
	return nil
}

// typeOf returns the type of a name.
func typeOf(n rulestest.Name) fhir.Type {
	t, _ := fhir.ParseType(n.Type)
	return t
}
