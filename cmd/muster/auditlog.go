package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"

	"muster/internal/audit"
	"muster/internal/fhir"
	"muster/internal/humanize"
	"muster/internal/oserror"
)

// auditCmd is `muster audit`.
type auditCmd struct {
	Verify auditVerifyCmd `cmd:"" help:"Verify that no event of an audit log was changed or removed (works while a server writes to it)."`
	Show   auditShowCmd   `cmd:"" help:"Print the events of an audit log (works while a server writes to it)."`
}

// auditFile names the audit log of a command.
type auditFile struct {
	File string `arg:"" optional:"" help:"The audit log. Its rotated files beside it, compressed or not, belong to it; the name of a rotated file means that file alone. Defaults to the log in the data directory."`
	Data string `placeholder:"DIR" help:"Data directory whose audit log is read if no file is named."`
}

// Validate checks that a log is named.
func (f auditFile) Validate() error {
	if f.File == "" && f.Data == "" {
		return errors.New("name the audit log, or a data directory with --data")
	}
	return nil
}

// path returns the path of the log: the file, or the only log in the data directory.
func (f auditFile) path() (string, error) {
	if f.File != "" {
		return f.File, nil
	}
	found, err := filepath.Glob(filepath.Join(f.Data, "audit*.log"))
	if err != nil {
		return "", err
	}
	found = slices.DeleteFunc(found, func(path string) bool { return audit.IsRotated(filepath.Base(path)) })
	switch len(found) {
	case 0:
		return "", fmt.Errorf("%s has no audit log: name the file of --audit-log", f.Data)
	case 1:
		return found[0], nil
	}
	return "", fmt.Errorf("%s has several audit logs, one for each server: name one of %s", f.Data, strings.Join(found, ", "))
}

// auditVerifyCmd is `muster audit verify`.
type auditVerifyCmd struct {
	auditFile `embed:""`
	Head      string `placeholder:"HASH" help:"A head of the log that was noted earlier, as 'audit log head' in the log of the server. It must be in the audit log: otherwise events were removed from its end, or all were replaced."`
	JSON      bool   `name:"json" help:"Print the result as JSON."`
}

// Validate checks the noted head.
func (c auditVerifyCmd) Validate() error {
	return firstError(c.auditFile.Validate(), bound("--head", c.Head == "" || audit.IsHash(c.Head), "a hash of 64 digits from 0 to f, as in the log of the server"))
}

// Run verifies the log. The exit code is 1 if it is not as muster has written it.
func (c auditVerifyCmd) Run(a app) error {
	path, err := c.path()
	if err != nil {
		return err
	}
	report, err := audit.Verify(a.ctx, path, c.Head)
	if err != nil {
		return auditFailure(path, report, err)
	}
	if c.JSON {
		return printJSON(a.stdout, report)
	}
	return printAuditReport(a.stdout, path, report, c.Head != "")
}

// auditFailure returns the error of a log that could not be verified.
func auditFailure(path string, r audit.Report, err error) error {
	var broken *audit.BreakError
	var missing *audit.HeadError
	switch {
	case errors.As(err, &broken):
		return fmt.Errorf("%w. %s before it are as they were written", err, capitalised(counted(r.Events, "event")))
	case errors.As(err, &missing):
		return fmt.Errorf("%s: %w", path, err)
	}
	return err
}

// capitalised returns a text with a capital as its first letter.
func capitalised(text string) string { return strings.ToUpper(text[:1]) + text[1:] }

func counted(n int64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return humanize.Int(n) + " " + what + "s"
}

// printAuditReport prints the report of a log without breaks.
func printAuditReport(w io.Writer, path string, r audit.Report, noted bool) error {
	line := func(form string, args ...any) { fmt.Fprintf(w, form+"\n", args...) }
	if r.Events == 0 {
		_, err := fmt.Fprintf(w, "%s is empty\n", path)
		return err
	}
	line("%s: %s in %s, from %s to %s", path, counted(r.Events, "event"), countFiles(r.Files), auditTime(r.From), auditTime(r.Head.Time))
	if r.Older > 0 {
		line("%s of an older version are before the chain and cannot be verified", counted(r.Older, "line"))
	}
	if r.Removed > 0 {
		line("the files with the %s before them are not there, as after the end of their retention", counted(r.Removed, "event"))
	}
	if r.Repairs > 0 {
		line("%s that a crash left incomplete: the log has what was cut off", counted(int64(r.Repairs), "line"))
	}
	if r.Lost > 0 {
		line("%s could not be written, as on a full disk", counted(r.Lost, "event"))
	}
	if r.Incomplete > 0 {
		line("the last %s are an incomplete line: a server writes it, or cuts it off at its next start", counted(r.Incomplete, "byte"))
	}
	if noted {
		line("the noted head is in the log")
	}
	_, err := fmt.Fprintf(w, "head: event %d, %s\n", r.Head.Event, r.Head.Hash)
	return err
}

func auditTime(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

// auditShowCmd is `muster audit show`.
type auditShowCmd struct {
	auditFile   `embed:""`
	Client      string              `placeholder:"ID" help:"Events of a client only: the id of an OAuth client, a principal, or an address."`
	Since       fhir.Instant        `placeholder:"INSTANT" help:"Events from this time on, such as 2026-03-01T09:30:00+11:00."`
	Until       fhir.Instant        `placeholder:"INSTANT" help:"Events before this time."`
	Interaction []audit.Interaction `placeholder:"NAME" help:"Events of these interactions only: ${interactions}. log means the events of the log itself."`
	Status      []string            `placeholder:"STATUS" help:"Requests that were answered with one of these statuses: 404, or 4xx for all from 400 to 499."`
	JSON        bool                `name:"json" xor:"format" help:"Print the lines of the log as they are."`
	FHIR        bool                `name:"fhir" xor:"format" help:"Print each event as an AuditEvent of FHIR R4, one on each line."`
}

// Validate checks the names of interactions and the statuses.
func (c auditShowCmd) Validate() error {
	for _, name := range c.Interaction {
		if !slices.Contains(audit.Interactions(), name) {
			return fmt.Errorf("--interaction: write one of %s", auditInteractions())
		}
	}
	for _, status := range c.Status {
		if !statusForm.MatchString(status) {
			return errors.New("--status: write a status such as 404, or 4xx")
		}
	}
	return c.auditFile.Validate()
}

var statusForm = regexp.MustCompile(`^([1-5][0-9]{2}|[1-5]xx|0)$`)

// auditInteractions lists the names of the interactions.
func auditInteractions() string {
	var names []string
	for _, name := range audit.Interactions() {
		names = append(names, string(name))
	}
	return strings.Join(names, ", ")
}

// Run prints the events.
func (c auditShowCmd) Run(a app) error {
	path, err := c.path()
	if err != nil {
		return err
	}
	filter := audit.Filter{Client: c.Client, Interactions: c.Interaction, Statuses: c.Status}
	if c.Since != 0 {
		filter.Since = c.Since.Time()
	}
	if c.Until != 0 {
		filter.Until = c.Until.Time()
	}
	others, err := audit.Each(a.ctx, path, func(e audit.Entry, line []byte) error {
		if !filter.Selects(e) {
			return nil
		}
		return c.print(a.stdout, e, line)
	})
	if others > 0 {
		fmt.Fprintf(a.stderr, "left out, since they are not events: %s of %s; run: muster audit verify %s\n", counted(int64(others), "line"), path, oserror.Word(path))
	}
	return err
}

// print prints an event in the form that was asked for.
func (c auditShowCmd) print(w io.Writer, e audit.Entry, line []byte) (err error) {
	switch {
	case c.JSON:
	case c.FHIR:
		line, err = audit.FHIR(e, line)
	default:
		line = []byte(printableText(describeEvent(e)) + "\n")
	}
	if err == nil {
		_, err = w.Write(line)
	}
	return err
}

// describeEvent describes an event on one line.
func describeEvent(e audit.Entry) string {
	if e.Log.Kind != "" {
		return strings.Join(append([]string{auditTime(e.Time), "  -", "audit log " + string(e.Log.Kind)}, details(
			"events", e.Log.Events, "bytes", e.Log.Bytes, "text", e.Log.Text)...), " ")
	}
	request := strings.TrimSpace(e.Method + " " + e.Path)
	if e.Query != "" {
		request += "?" + e.Query
	}
	parts := []string{auditTime(e.Time), fmt.Sprintf("%3d", e.Status), fmt.Sprintf("%-12s", e.Interaction), cmp.Or(e.Client, e.Principal)}
	if e.Remote != "" {
		parts = append(parts, e.Remote)
	}
	parts = append(parts, request)
	for _, filter := range e.Filters {
		parts = append(parts, details("filter", filter)...)
	}
	parts = append(parts, details("since", e.Since, "job", e.Job, "file", e.File, "resources", e.Resources, "bytes", e.Bytes, "issue", e.Issue,
		"issuer", e.Issuer, "scopes", strings.Join(e.Scopes, " "), "count", e.Count, "statuses", audit.Counts(e.Statuses), "routes", audit.Counts(e.Routes), "request", e.RequestID)...)
	if e.Broken {
		parts = append(parts, "aborted")
	}
	return strings.Join(parts, " ")
}

// details returns "name=value" for the pairs whose value is neither 0 nor empty.
func details(pairs ...any) (all []string) {
	for n := 0; n+1 < len(pairs); n += 2 {
		value := fmt.Sprint(pairs[n+1])
		switch {
		case value == "" || value == "0":
			continue
		case strings.ContainsFunc(value, unicode.IsSpace):
			value = `"` + value + `"`
		}
		all = append(all, fmt.Sprint(pairs[n], "=", value))
	}
	return all
}

// printableText replaces what a terminal would act on: clients choose paths and queries.
func printableText(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '�'
	}, text)
}
