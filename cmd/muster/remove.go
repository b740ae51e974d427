package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"muster/internal/conformance"
	"muster/internal/fhir"
	"muster/internal/humanize"
	"muster/internal/load"
	"muster/internal/policy"
	"muster/internal/search"
	"muster/internal/search/index"
	"muster/internal/search/plan"
	"muster/internal/store"
)

// removeCmd is `muster remove`.
type removeCmd struct {
	Data     string `placeholder:"DIR" help:"Data directory to remove resources from. It may be served meanwhile."`
	Database string `placeholder:"URL" help:"PostgreSQL database to remove resources from instead."`
	Matching string `placeholder:"QUERY" help:"Remove the resources that match a search, in the syntax of _typeFilter, instead of those of a file: 'Practitioner?identifier=…'. Unlike for clients, it finds resources in any state."`
	Yes      bool   `help:"Remove the resources. Without it, the command lists what it would remove."`
	Limit    int    `default:"100" placeholder:"N" help:"Maximum number of resources; the command removes and lists nothing if there are more (${default})."`
	File     string `arg:"" optional:"" help:"File with a line Type/id for each resource, or - for standard input."`
}

// Validate checks that a directory is named, and either a file or a search.
func (c removeCmd) Validate() error {
	switch {
	case c.File == "" && c.Matching == "":
		return errors.New("say what to remove: name a file with lines Type/id, or - for standard input, or write --matching 'Type?query'")
	case c.File != "" && c.Matching != "":
		return fmt.Errorf("--matching and the file %s both say what to remove: write one of them", c.File)
	case c.Limit < 1:
		return errors.New("--limit: write a number of resources from 1")
	}
	return requireLocation(c.Data, c.Database)
}

// removeDeadline limits the time of a search of the command, which delays no client.
const removeDeadline = 10 * time.Minute

// Run lists what the command would remove, or removes it. The exit code is 3 if some of the
// resources are not in the directory, and 1 if none is.
func (c removeCmd) Run(a app) (err error) {
	names, err := c.readNames(a)
	if err != nil {
		return err
	}
	registry, err := conformance.Load()
	if err != nil {
		return err
	}
	directory, err := a.openDirectory(c.Data, c.Database, store.Options{SearchDeadline: removeDeadline, Expect: store.Identity{
		Mode: "authoritative", DefinitionsHash: registry.DefinitionsHash(), Rules: policy.RulesVersion(), Cascades: true,
	}, Rules: load.RulesFor(registry)})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, directory.Close()) }()
	var found removal
	if c.Matching != "" {
		err = found.search(a, directory, registry, c)
	} else {
		err = found.lookUp(a.ctx, directory, names)
	}
	if err == nil {
		err = c.checkLimit(found.total)
	}
	if err == nil {
		err = found.findDangling(a.ctx, directory, registry)
	}
	if err != nil {
		return err
	}
	found.print(a.stdout)
	if !c.Yes {
		printRemoved(a.stdout, "would remove", int64(len(found.rows)), found)
		if len(found.rows) > 0 {
			fmt.Fprintln(a.stderr, "nothing was removed: run the command again with --yes to remove the resources")
		}
		return found.missingError("would be removed")
	}
	removed, err := removeRows(a.ctx, directory, found.rows)
	printRemoved(a.stdout, "removed", removed, found)
	if err != nil {
		return fmt.Errorf("%w: run the command again to remove the rest", err)
	}
	return found.missingError("were removed")
}

// checkLimit returns an error if there are more resources than --limit.
func (c removeCmd) checkLimit(n int64) error {
	if n <= int64(c.Limit) {
		return nil
	}
	return fmt.Errorf("%s resources would be removed, and --limit is %d: narrow down what to remove, or write --limit %d if all of them are meant", humanize.Int(n), c.Limit, n)
}

// resourceName is the name Type/id of a resource.
type resourceName struct {
	t  fhir.Type
	id string
}

func (n resourceName) String() string { return n.t.String() + "/" + n.id }

// compareNames orders resources by type and id.
func compareNames(x, y resourceName) int {
	return cmp.Or(cmp.Compare(x.t, y.t), cmp.Compare(x.id, y.id))
}

// namedLine is a line Type/id.
type namedLine struct {
	resourceName
	line int // from 1
}

// maxBadLines is how many lines that are not valid are shown.
const maxBadLines = 10

// readNames reads the file, if one is named. A line that is not valid is an error: it may be the
// resource that was meant.
func (c removeCmd) readNames(a app) ([]namedLine, error) {
	if c.File == "" {
		return nil, nil
	}
	name, in := "standard input", a.stdin
	if c.File != "-" {
		file, err := os.Open(c.File)
		if err != nil {
			return nil, err
		}
		defer file.Close()
		name, in = c.File, file
	}
	names, bad, err := readNames(&contextReader{ctx: a.ctx, from: in})
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	for _, b := range bad[:min(len(bad), maxBadLines)] {
		fmt.Fprintf(a.stderr, "%s:%d: %s\n", name, b.line, b.problem)
	}
	switch {
	case len(bad) == 1:
		return nil, fmt.Errorf("nothing was removed, since line %d of %s is not valid: correct it", bad[0].line, name)
	case len(bad) > 0:
		return nil, fmt.Errorf("nothing was removed, since %d lines of %s are not valid, the first of them line %d: correct them", len(bad), name, bad[0].line)
	}
	return names, nil
}

// badLine is a line that is not valid.
type badLine struct {
	line    int // from 1
	problem string
}

// readNames reads lines Type/id, each resource once. Empty lines are ignored.
func readNames(in io.Reader) (names []namedLine, bad []badLine, err error) {
	seen := map[resourceName]bool{}
	lines := bufio.NewScanner(in)
	for n := 1; lines.Scan(); n++ {
		text := lines.Text()
		if n == 1 {
			text = strings.TrimPrefix(text, "\ufeff")
		}
		if text = strings.TrimSpace(text); text == "" {
			continue
		}
		name, problem := parseName(text)
		switch {
		case problem != "":
			bad = append(bad, badLine{n, problem})
		case !seen[name]:
			seen[name] = true
			names = append(names, namedLine{name, n})
		}
	}
	if errors.Is(lines.Err(), bufio.ErrTooLong) {
		return nil, nil, errors.New("a line is longer than 64 KiB: write one Type/id on each line")
	}
	return names, bad, lines.Err()
}

// parseName reads Type/id, or says why it cannot.
func parseName(text string) (name resourceName, problem string) {
	typeName, id, _ := strings.Cut(text, "/")
	t, known := fhir.ParseType(typeName)
	switch {
	case !fhir.ValidID(id):
		return name, fmt.Sprintf("%q is not a resource: write Type/id, such as Practitioner/123", shortened(text))
	case !known:
		return name, fmt.Sprintf("%q is not in a directory: the types are %s", shortened(text), fhir.Names(fhir.Types()))
	}
	return resourceName{t, id}, ""
}

// shortened returns a text as messages quote it.
func shortened(text string) string {
	const most = 80
	if runes := []rune(text); len(runes) > most {
		return string(runes[:most]) + "…"
	}
	return text
}

// removal is what a command removes.
type removal struct {
	rows     []store.Row // in the order of type and id
	total    int64       // of resources; there are fewer rows if it is beyond the limit
	asked    int         // lines of the file
	missing  []namedLine // those that are not in the directory
	dangling []danglingReference
	more     bool // there are more dangling references than are listed
}

func nameOf(r store.Row) resourceName { return resourceName{r.Key.Type(), r.ID} }

// search finds the resources that match --matching.
func (r *removal) search(a app, d directory, registry *conformance.Registry, c removeCmd) error {
	compiler := search.New(registry, d.Info().BaseURL, time.UTC).At(d.Info().Addresses()...)
	filter, err := compiler.OperatorFilter(c.Matching)
	if err != nil {
		return exitError{exitUsage, err}
	}
	result, err := d.Search(a.ctx, store.Search{Plan: filter.Plan, Order: []plan.Order{{By: plan.ByID}}, Limit: c.Limit, Total: -1})
	r.rows, r.total = result.Rows, result.Total
	return err
}

// idsPerCall is how many ids one statement looks up.
const idsPerCall = 1000

// lookUp finds the resources of a file.
func (r *removal) lookUp(ctx context.Context, d directory, names []namedLine) error {
	r.asked = len(names)
	exists := map[resourceName]bool{}
	for _, t := range fhir.Types() {
		var ids []string
		for _, n := range names {
			if n.t == t {
				ids = append(ids, n.id)
			}
		}
		for chunk := range slices.Chunk(ids, idsPerCall) {
			rows, err := d.Lookup(ctx, t, chunk)
			if err != nil {
				return err
			}
			for _, row := range rows {
				exists[nameOf(row)] = true
			}
			r.rows = append(r.rows, rows...)
		}
	}
	r.missing = slices.DeleteFunc(slices.Clone(names), func(n namedLine) bool { return exists[n.resourceName] })
	r.total = int64(len(r.rows))
	slices.SortFunc(r.rows, func(x, y store.Row) int { return compareNames(nameOf(x), nameOf(y)) })
	return nil
}

// danglingReference is a reference whose target is removed.
type danglingReference struct {
	from  resourceName
	param string // search parameter that reads it
	to    resourceName
}

// maxDangling is how many dangling references are listed.
const maxDangling = 1000

// findDangling finds the references from resources that stay to those that are removed, as far
// as search parameters read them.
func (r *removal) findDangling(ctx context.Context, d directory, registry *conformance.Registry) error {
	ids, removed := map[fhir.Type][]string{}, map[resourceName]bool{}
	for _, row := range r.rows {
		name := nameOf(row)
		ids[name.t], removed[name] = append(ids[name.t], name.id), true
	}
	for _, p := range registry.References() {
		for _, to := range p.Targets() {
			for chunk := range slices.Chunk(ids[to], idsPerCall) {
				if err := r.addReferrers(ctx, d, p, to, chunk, removed); err != nil {
					return err
				}
			}
		}
	}
	slices.SortFunc(r.dangling, func(x, y danglingReference) int {
		return cmp.Or(compareNames(x.from, y.from), cmp.Compare(x.param, y.param), compareNames(x.to, y.to))
	})
	if len(r.dangling) > maxDangling {
		r.dangling, r.more = r.dangling[:maxDangling], true
	}
	return nil
}

// addReferrers adds the references of one parameter to the ids of one type.
func (r *removal) addReferrers(ctx context.Context, d directory, p conformance.Param, to fhir.Type, ids []string, removed map[resourceName]bool) error {
	rows, err := d.Referrers(ctx, p.Base, p.ID, to, ids, maxDangling+1)
	if err != nil {
		return err
	}
	r.more = r.more || len(rows) > maxDangling
	from := map[store.RowKey]resourceName{}
	var keys []store.RowKey
	for _, row := range rows {
		if name := nameOf(row); !removed[name] {
			from[row.Key], keys = name, append(keys, row.Key)
		}
	}
	references, err := d.References(ctx, keys, p.ID)
	if err != nil {
		return err
	}
	for _, reference := range references {
		target := resourceName{reference.Type, reference.ID}
		if target.t == to && slices.Contains(ids, target.id) {
			r.dangling = append(r.dangling, danglingReference{from[reference.From], p.Code, target})
		}
	}
	return nil
}

// print prints a line for each resource, for each that is not in the directory, and for each
// reference that is left dangling.
func (r *removal) print(w io.Writer) {
	for _, row := range r.rows {
		fmt.Fprintf(w, "%v\tversion %d\tlastUpdated %v%s\n", nameOf(row), row.Version, row.LastUpdated, stateColumn(row.Visibility))
	}
	for _, n := range r.missing {
		fmt.Fprintf(w, "not found: line %d: %v is not in the directory\n", n.line, n)
	}
	for _, reference := range r.dangling {
		fmt.Fprintf(w, "dangling: %v refers to %v (%s)\n", reference.from, reference.to, reference.param)
	}
	if r.more {
		fmt.Fprintln(w, "dangling: …")
	}
}

// stateColumn returns a column with the state of a hidden resource.
func stateColumn(v index.Visibility) string {
	var states []string
	if v&index.Inactive != 0 {
		states = append(states, "inactive")
	}
	if v&index.Suppressed != 0 {
		states = append(states, "suppressed")
	}
	if len(states) == 0 {
		return ""
	}
	return "\t" + strings.Join(states, ", ")
}

// printRemoved prints the numbers. The first one is that of what was or would be removed.
func printRemoved(w io.Writer, what string, n int64, r removal) {
	out := humanize.NewPrinter()
	out.Fprintf(w, "%-12s %10d\n", what, n)
	if len(r.missing) > 0 {
		out.Fprintf(w, "%-12s %10d\n", "not found", len(r.missing))
	}
	switch {
	case r.more:
		out.Fprintf(w, "%-12s  more than %d\n", "dangling", len(r.dangling))
	case len(r.dangling) > 0:
		out.Fprintf(w, "%-12s %10d\n", "dangling", len(r.dangling))
	}
}

// missingError returns the error for lines whose resources are not in the directory.
func (r *removal) missingError(others string) error {
	switch {
	case len(r.missing) == 0:
		return nil
	case len(r.rows) == 0:
		return errors.New("nothing was removed: none of the resources is in the directory")
	}
	return exitError{exitRefused, fmt.Errorf("%d of %d resources are not in the directory; the others %s", len(r.missing), r.asked, others)}
}

// removeRows removes the resources and returns how many it has removed, also with an error.
func removeRows(ctx context.Context, d directory, rows []store.Row) (removed int64, err error) {
	changes := make([]store.Change, len(rows))
	for n, row := range rows {
		changes[n] = store.Change{Type: row.Key.Type(), ID: row.ID, Remove: true}
	}
	outcomes, err := d.Apply(ctx, changes)
	for _, o := range outcomes {
		if o == store.Removed {
			removed++
		}
	}
	return removed, err
}
