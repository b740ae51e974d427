package compare

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"muster/internal/fhir"
	"muster/internal/rulestest"
)

// all returns a filter for each type.
func all(criterion string) (filters []string) {
	for _, t := range rulestest.Types {
		filters = append(filters, t+"?"+criterion)
	}
	return filters
}

// everything is a criterion that all resources meet. A delta holds only what the sequence has
// written.
const everything = "_lastUpdated=ge1900-01-01"

// written is the criterion of all resources of the sequence.
func (s *Sequence) written() string { return "_lastUpdated=gt" + s.times[0].String() }

// compareExports compares what exports hold after a step, and returns a time to which deltas since
// this step refer.
func (s *Sequence) compareExports(ctx context.Context, since int) (fhir.Instant, error) {
	view := s.History.View
	full, result, err := s.export(ctx, Request{Filters: all(s.written())}, view)
	if err != nil {
		return 0, err
	}
	if err := sameNames("a full export", namesOf(full), view.Visible()); err != nil {
		return 0, err
	}
	last := len(s.times) - 1
	for _, since := range slices.Compact([]int{min(since, last), last}) {
		delta, err := s.compareDelta(ctx, since)
		if err != nil {
			return 0, err
		}
		result = delta // the one since the last step
	}
	if err := s.updateCopy(result, full); err != nil {
		return 0, err
	}
	return result.Time, s.compareChains(ctx, last)
}

// compareDelta compares the deltas since the end of a step.
func (s *Sequence) compareDelta(ctx context.Context, since int) (Result, error) {
	output, _ := s.History.Delta(since)
	what := fmt.Sprintf("a delta since step %d", since)
	lines, result, err := s.export(ctx, Request{Filters: all(everything), Since: &s.times[since]}, s.History.View)
	if err != nil {
		return result, err
	}
	if err := sameNames(what, namesOf(lines), output); err != nil {
		return result, err
	}
	if !s.inProcess() {
		return result, nil // all clients of the program get suppressed resources
	}
	lines, _, err = s.export(ctx, Request{Filters: all(everything), Since: &s.times[since], WithoutSuppressed: true}, s.History.View)
	if err != nil {
		return result, err
	}
	shown := slices.DeleteFunc(output, func(n rulestest.Name) bool { return !s.History.View.InDelta(n) })
	return result, sameNames(what+" without suppressed resources", namesOf(lines), shown)
}

// updateCopy applies a delta to the copy that deltas alone keep. The lines that it shows must be
// those of a full export.
func (s *Sequence) updateCopy(delta Result, full []line) error {
	_, removed := s.History.Delta(len(s.times) - 1)
	if err := sameNames("the removals of a delta", rulestest.Sorted(delta.Deleted), removed); err != nil {
		return err
	}
	for _, text := range delta.Lines {
		s.copy.Put(text)
	}
	for _, n := range delta.Deleted {
		s.copy.Delete(n)
	}
	shown := s.copy.Visible()
	for _, l := range full {
		if shown[l.name] != l.text {
			return differ("the copy that deltas keep has of %s\n%s\nbut a full export has\n%s", l.name, shown[l.name], l.text)
		}
	}
	if len(shown) != len(full) {
		return differ("the copy that deltas keep shows %d resources, a full export has %d", len(shown), len(full))
	}
	return nil
}

// export returns the lines of an export. It compares each line with a view of the model.
func (s *Sequence) export(ctx context.Context, r Request, view rulestest.View) (lines []line, result Result, err error) {
	if result, err = s.target.Export(ctx, r); err != nil {
		return nil, result, err
	}
	for _, text := range result.Lines {
		l, err := readLine(text)
		if err != nil {
			return nil, result, err
		}
		if l.lastUpdated > result.Time {
			return nil, result, differ("%s was written at %v, after the transaction time %v", l.name, l.lastUpdated, result.Time)
		}
		if err := s.checkLine(l, view); err != nil {
			return nil, result, err
		}
		lines = append(lines, l)
	}
	return lines, result, nil
}

// compareInterrupted compares a full export after an interrupted load: its transactions are either
// complete or not begun.
func (s *Sequence) compareInterrupted(ctx context.Context) error {
	var differences error
	for _, view := range s.History.Between() {
		full, _, err := s.export(ctx, Request{Filters: all(s.written())}, view)
		if err == nil {
			err = sameNames("a full export after an interrupted load", namesOf(full), view.Visible())
		}
		if err == nil || !errors.As(err, new(Difference)) {
			return err
		}
		differences = errors.Join(differences, err)
	}
	return differ("nothing of the load, or all of one of its transactions:\n%v", differences)
}

// inProcess reports whether the directory is in this process.
func (s *Sequence) inProcess() bool {
	_, ok := s.target.(*Directory)
	return ok
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
// over all in a delta. An export has one filter for each type, so each chain is an export.
func (s *Sequence) compareChains(ctx context.Context, since int) error {
	if !s.chains || !s.inProcess() {
		return nil // with a program, they would take most of the time
	}
	view := s.History.View
	output, _ := s.History.Delta(since)
	for _, c := range chains {
		lines, _, err := s.export(ctx, Request{Filters: []string{c.filter + "&" + s.written()}}, view)
		if err != nil {
			return err
		}
		want := view.Follow(c.Link, c.reverse, func(n rulestest.Name) bool { return view.Finds(n, rulestest.Ask{}) })
		if err := sameNames(c.filter, namesOf(lines), want); err != nil {
			return err
		}
		if lines, _, err = s.export(ctx, Request{Filters: []string{c.filter}, Since: &s.times[since]}, view); err != nil {
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
