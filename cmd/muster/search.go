package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"muster/internal/conformance"
	"muster/internal/fhir"
	"muster/internal/humanize"
	"muster/internal/policy"
	"muster/internal/search"
	"muster/internal/store"
)

// searchCmd is `muster search`.
type searchCmd struct {
	Query    string   `arg:"" help:"The search, in the syntax of _typeFilter: 'PractitionerRole?location.address-city=Balmain'. It finds visible resources only."`
	Data     string   `placeholder:"DIR" help:"Data directory to search. It may be served meanwhile."`
	Database string   `placeholder:"URL" help:"PostgreSQL database to search instead."`
	Explain  bool     `help:"Print the parsed query, the plan, and each statement with its arguments and number of rows."`
	Count    int      `default:"30" placeholder:"N" help:"Maximum number of matches to print (${default})."`
	Sort     string   `placeholder:"KEYS" help:"Sort order, as in _sort: parameters separated by commas, each with a minus in front to sort in descending order."`
	Total    int64    `default:"1000" placeholder:"N" help:"Number up to which matches are counted; -1 to count all (${default})."`
	Zone     timeZone `default:"${zone}" help:"Time zone of dates without a zone (${default})."`
}

// Validate checks the bounds, and that a directory is named.
func (c searchCmd) Validate() error {
	switch {
	case c.Count < 0:
		return errors.New("--count: write a number of matches from 0")
	case c.Total < -1:
		return errors.New("--total: write a number of matches, or -1 for all")
	}
	return requireLocation(c.Data, c.Database)
}

// Run prints the matches, and with --explain how they were found.
func (c searchCmd) Run(a app) (err error) {
	registry, err := conformance.Load()
	if err != nil {
		return err
	}
	directory, err := a.openDirectory(c.Data, c.Database, store.Options{Expect: store.Identity{
		DefinitionsHash: registry.DefinitionsHash(), Rules: policy.RulesVersion(), Cascades: true,
	}})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, directory.Close()) }()
	compiled, err := c.compile(a, search.New(registry, directory.Info().BaseURL, c.Zone.Location).At(directory.Info().Addresses()...))
	if err != nil {
		return err
	}
	start := time.Now()
	result, err := directory.Search(a.ctx, compiled)
	if err != nil {
		return err
	}
	took := time.Since(start)
	printResult(a.stdout, result)
	if c.Explain {
		fmt.Fprintf(a.stderr, "took %s\n", humanize.Duration(took))
	}
	return nil
}

// compile compiles the query, and prints the steps with --explain.
func (c searchCmd) compile(a app, compiler *search.Compiler) (store.Search, error) {
	name, rawQuery, _ := strings.Cut(c.Query, "?")
	t, ok := fhir.ParseType(name)
	if !ok {
		return store.Search{}, exitError{exitUsage, fmt.Errorf("%q does not begin with a resource type of the directory: write one of %s, a question mark and the criteria", c.Query, fhir.Names(fhir.Types()))}
	}
	if _, err := compiler.ExportFilter(c.Query, search.Export{May: policy.FullAccess()}); err != nil { // accepts criteria only
		return store.Search{}, exitError{exitUsage, err}
	}
	if c.Sort != "" {
		rawQuery += "&_sort=" + c.Sort
	}
	request, err := compiler.SearchURL(t, rawQuery, policy.SearchRules{RequireSubstantive: true}, policy.FullAccess())
	if err != nil {
		return store.Search{}, exitError{exitUsage, err}
	}
	compiled := store.Search{Plan: request.Plan, Order: request.Order, Limit: c.Count, Total: c.Total}
	if c.Explain {
		fmt.Fprintf(a.stdout, "query\n  %s\nwith implied criteria\n  %s\nplan\n%s", request.Query, request.Visible, indented(request.Plan.String()))
		for _, o := range compiled.Order {
			fmt.Fprintf(a.stdout, "order\n  %s\n", o)
		}
		compiled.Trace = func(s store.TracedStatement) { printStatement(a.stdout, s) }
	}
	return compiled, nil
}

// printStatement prints a statement with its number of rows and its arguments.
func printStatement(w io.Writer, s store.TracedStatement) {
	fmt.Fprintf(w, "%s: %d\n%s", s.What, s.Rows, indented(s.SQL))
	for i, arg := range s.Args {
		fmt.Fprintf(w, "    %d: %v\n", i+1, arg)
	}
}

// indented indents each line.
func indented(text string) string {
	return "  " + strings.ReplaceAll(strings.TrimRight(text, "\n"), "\n", "\n  ") + "\n"
}

// printResult prints the matches and their number.
func printResult(w io.Writer, result store.SearchResult) {
	for _, r := range result.Rows {
		fmt.Fprintf(w, "%v/%s\tversion %d\tlastUpdated %v\n", r.Key.Type(), r.ID, r.Version, r.LastUpdated)
	}
	p := humanize.NewPrinter()
	switch {
	case result.Exact:
		p.Fprintf(w, "%d matches\n", result.Total)
	default:
		p.Fprintf(w, "more than %d matches\n", result.Total)
	}
}
