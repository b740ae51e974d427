package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"muster/internal/conformance"
	"muster/internal/fhir"
	"muster/internal/policy"
	"muster/internal/search"
	"muster/internal/store"

	"golang.org/x/text/language"
	"golang.org/x/text/message"
)

// searchCmd is `muster search`.
type searchCmd struct {
	Query    string `arg:"" help:"The search, as a filter is written: 'PractitionerRole?location.address-city=Balmain'. Only what is visible is found."`
	Data     string `placeholder:"DIR" help:"Search this data directory. It may be served meanwhile."`
	Database string `placeholder:"URL" help:"Search the directory in this PostgreSQL database instead."`
	Explain  bool   `help:"Tell how: the query as understood, the plan, each statement with its arguments and rows."`
	Count    int    `default:"30" placeholder:"N" help:"Matches to print at most (${default})."`
	Sort     string `placeholder:"KEYS" help:"Order, as _sort: parameters joined by commas, a minus in front for descending."`
	Total    int64  `default:"1000" placeholder:"N" help:"How far to count matches; -1 counts them all (${default})."`
	Zone     string `default:"Australia/Sydney" help:"Time zone of dates without one (${default})."`
}

// Validate wants one place to search in, and numbers that mean something.
func (c searchCmd) Validate() error {
	switch {
	case c.Count < 0:
		return errors.New("--count: write a number of matches from 0")
	case c.Total < -1:
		return errors.New("--total: write a number of matches, or -1 for all")
	}
	return wantPlace(c.Data, c.Database)
}

// Run prints the matches, and with --explain what led to them.
func (c searchCmd) Run(a app) (err error) {
	registry, err := conformance.Load()
	if err != nil {
		return err
	}
	zone, err := time.LoadLocation(c.Zone)
	if err != nil {
		return exitError{exitUsage, fmt.Errorf("--zone %s: %w", c.Zone, err)}
	}
	directory, err := openDirectory(a.ctx, c.Data, c.Database, store.Options{Expect: store.CreateInfo{
		DefinitionsHash: registry.DefinitionsHash(), Rules: policy.RulesVersion(),
	}})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, directory.Close()) }()
	question, err := c.compile(a, search.New(registry, directory.Info().BaseURL, zone))
	if err != nil {
		return err
	}
	start := time.Now()
	found, err := directory.Search(a.ctx, question)
	if err != nil {
		return err
	}
	took := time.Since(start)
	printFound(a.stdout, found)
	if c.Explain {
		fmt.Fprintf(a.stderr, "took %v\n", took.Round(time.Microsecond))
	}
	return nil
}

// compile turns the text into a question, explaining it if that is asked for.
func (c searchCmd) compile(a app, compiler *search.Compiler) (store.Search, error) {
	name, rawQuery, _ := strings.Cut(c.Query, "?")
	t, ok := fhir.ParseType(name)
	if !ok {
		return store.Search{}, exitError{exitUsage, fmt.Errorf("%q begins with no type of the directory: write one of %s, a question mark and the criteria", c.Query, fhir.Names(fhir.Types()))}
	}
	if _, err := compiler.ExportFilter(c.Query, search.Export{May: policy.SuppressedOffered}); err != nil { // criteria only: nothing is passed over
		return store.Search{}, exitError{exitUsage, err}
	}
	if c.Sort != "" {
		rawQuery += "&_sort=" + c.Sort
	}
	asked, err := compiler.SearchURL(t, rawQuery, policy.SearchRules{RequireSubstantive: true}, policy.SuppressedOffered)
	if err != nil {
		return store.Search{}, exitError{exitUsage, err}
	}
	question := store.Search{Plan: asked.Plan, Order: asked.Order, Limit: c.Count, Total: c.Total}
	if c.Explain {
		fmt.Fprintf(a.stdout, "query\n  %s\nwith what the directory implies\n  %s\nplan\n%s", asked.Query, asked.Visible, indented(asked.Plan.String()))
		for _, o := range question.Order {
			fmt.Fprintf(a.stdout, "order\n  %s\n", o)
		}
		question.Trace = func(s store.TracedStatement) { explainStep(a.stdout, s) }
	}
	return question, nil
}

// explainStep prints a statement with what came of it.
func explainStep(w io.Writer, s store.TracedStatement) {
	fmt.Fprintf(w, "%s: %d\n%s", s.What, s.Rows, indented(s.SQL))
	for i, arg := range s.Args {
		fmt.Fprintf(w, "    %d: %v\n", i+1, arg)
	}
}

func indented(text string) string {
	return "  " + strings.ReplaceAll(strings.TrimRight(text, "\n"), "\n", "\n  ") + "\n"
}

func printFound(w io.Writer, found store.SearchResult) {
	for _, r := range found.Rows {
		fmt.Fprintf(w, "%v/%s\tversion %d\tlastUpdated %v\n", r.Key.Type(), r.ID, r.Version, r.LastUpdated)
	}
	p := message.NewPrinter(language.English)
	switch {
	case found.Exact:
		p.Fprintf(w, "%d matches\n", found.Total)
	default:
		p.Fprintf(w, "more than %d matches\n", found.Total)
	}
}
