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

// everything is a criterion that all resources meet. A delta holds only what the sequences have
// written.
const everything = "_lastUpdated=ge1900-01-01"

// written is the criterion of all resources of the sequences.
func (c *Comparison) written() string { return "_lastUpdated=gt" + c.times[0].String() }

// compareExports compares what exports hold after a step, and returns a time to which deltas since
// this step refer.
func (c *Comparison) compareExports(ctx context.Context, since int) (fhir.Instant, error) {
	full, _, err := c.export(ctx, Request{Filters: all(c.written())})
	if err != nil {
		return 0, err
	}
	if err := sameNames("a full export", namesOf(full), c.view.Visible()); err != nil {
		return 0, err
	}
	last := len(c.times) - 1
	if err := c.compareDelta(ctx, min(since, last)); err != nil {
		return 0, err
	}
	at, err := c.compareCopy(ctx, full)
	if err != nil {
		return 0, err
	}
	return at, c.compareChains(ctx, last)
}

// compareDelta compares the deltas since the end of a step, for a client that gets suppressed
// resources and for one that does not.
func (c *Comparison) compareDelta(ctx context.Context, since int) error {
	output, deleted := c.changed(since)
	what := fmt.Sprintf("a delta since step %d", since)
	lines, result, err := c.export(ctx, Request{Filters: all(everything), Since: &c.times[since]})
	if err != nil {
		return err
	}
	if err := sameNames(what, namesOf(lines), output); err != nil {
		return err
	}
	if err := sameNames("the removals of "+what, rulestest.Sorted(result.Deleted), deleted); err != nil {
		return err
	}
	if !c.inProcess() {
		return nil // all clients of the program get suppressed resources
	}
	lines, _, err = c.export(ctx, Request{Filters: all(everything), Since: &c.times[since], WithoutSuppressed: true})
	if err != nil {
		return err
	}
	shown := slices.DeleteFunc(output, func(n rulestest.Name) bool { return !c.view.InDelta(n) })
	return sameNames(what+" without suppressed resources", namesOf(lines), shown)
}

// compareCopy applies the delta since the last step to the copy that deltas alone keep. The lines
// that it shows must be those of a full export. It returns the time of the delta.
func (c *Comparison) compareCopy(ctx context.Context, full []*line) (fhir.Instant, error) {
	last := len(c.times) - 1
	output, deleted := c.changed(last)
	lines, result, err := c.export(ctx, Request{Filters: all(everything), Since: &c.times[last]})
	if err != nil {
		return 0, err
	}
	if err := sameNames("the delta of a step", namesOf(lines), output); err != nil {
		return 0, err
	}
	if err := sameNames("the removals of the delta of a step", rulestest.Sorted(result.Deleted), deleted); err != nil {
		return 0, err
	}
	for n, text := range result.Lines {
		c.copy.Put(text)
		c.versions[lines[n].name] = append(c.versions[lines[n].name], lines[n])
	}
	for _, n := range result.Deleted {
		c.copy.Delete(n)
	}
	shown := c.copy.Visible()
	for _, l := range full {
		if shown[l.name] != l.text {
			return 0, differ(l.name, "the copy that deltas keep has of %s\n%s\nbut a full export has\n%s", l.name, shown[l.name], l.text)
		}
		delete(shown, l.name)
	}
	for n := range shown {
		return 0, differ(n, "the copy that deltas keep shows %s, which a full export has not", n)
	}
	return result.Time, nil
}

// export returns the lines of an export. It compares each with the model.
func (c *Comparison) export(ctx context.Context, r Request) (lines []*line, result Result, err error) {
	if lines, result, err = c.unchecked(ctx, r); err != nil {
		return nil, result, err
	}
	for _, l := range lines {
		if err := c.checkLine(l); err != nil {
			return nil, result, err
		}
	}
	return lines, result, nil
}

// unchecked returns the lines of an export.
func (c *Comparison) unchecked(ctx context.Context, r Request) (lines []*line, result Result, err error) {
	if result, err = c.target.Export(ctx, r); err != nil {
		return nil, result, err
	}
	for _, text := range result.Lines {
		l, err := c.read(text)
		if err != nil {
			return nil, result, err
		}
		if l.lastUpdated > result.Time {
			return nil, result, differ(l.name, "%s was written at %v, after the transaction time %v", l.name, l.lastUpdated, result.Time)
		}
		lines = append(lines, l)
	}
	return lines, result, nil
}

// compareInterrupted compares a full export after an interrupted load: the transactions of each
// sequence are either complete or not begun.
func (c *Comparison) compareInterrupted(ctx context.Context) error {
	lines, _, err := c.unchecked(ctx, Request{Filters: all(c.written())})
	if err != nil {
		return err
	}
	of := make([][]*line, len(c.played))
	for _, l := range lines {
		n, ok := c.of[l.name]
		if !ok {
			return differ(l.name, "%s is served, but does not exist", l.name)
		}
		of[n] = append(of[n], l)
	}
	for n, lines := range of {
		if err := c.compareWithEach(lines, c.possible[n]); err != nil {
			return err
		}
	}
	return nil
}

// compareWithEach compares a full export of a sequence with each view that is possible. One of them
// must agree.
func (c *Comparison) compareWithEach(lines []*line, possible []rulestest.View) error {
	var all []error
	for _, view := range possible {
		err := sameNames("a full export after an interrupted load", namesOf(lines), view.Visible())
		for _, l := range lines {
			if err == nil {
				err = c.checkServed(l, serve(view[l.name]))
			}
		}
		if err == nil {
			return nil
		}
		all = append(all, err)
	}
	first, _ := errors.AsType[Difference](all[0])
	return differ(first.Of, "none or all of each transaction of an interrupted load:\n%v", errors.Join(all...))
}

// inProcess reports whether the directory is in this process.
func (c *Comparison) inProcess() bool {
	_, ok := c.target.(*Directory)
	return ok
}

// namesOf returns the names of lines, in the order of the model. Lines of one type are in any order.
func namesOf(lines []*line) []rulestest.Name {
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
func (c *Comparison) compareChains(ctx context.Context, since int) error {
	if !c.chains || !c.inProcess() {
		return nil // with a program, they would take most of the time
	}
	visible := func(n rulestest.Name) bool { return c.view.Finds(n, rulestest.Ask{}) }
	output, _ := c.changed(since)
	for _, chain := range chains {
		lines, _, err := c.export(ctx, Request{Filters: []string{chain.filter + "&" + c.written()}})
		if err != nil {
			return err
		}
		if err := sameNames(chain.filter, namesOf(lines), c.view.Follow(chain.Link, chain.reverse, visible)); err != nil {
			return err
		}
		if lines, _, err = c.export(ctx, Request{Filters: []string{chain.filter}, Since: &c.times[since]}); err != nil {
			return err
		}
		linked := c.view.Follow(chain.Link, chain.reverse, func(rulestest.Name) bool { return true })
		if err := sameNames("a delta of "+chain.filter, namesOf(lines), without(linked, without(linked, output))); err != nil {
			return err
		}
	}
	return nil
}
