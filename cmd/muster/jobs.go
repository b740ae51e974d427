package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"muster/internal/auth"
	"muster/internal/client"
	"muster/internal/export"
	"muster/internal/fhir"
	"muster/internal/humanize"
	"muster/internal/store"
)

// jobsCmd is `muster jobs`.
type jobsCmd struct {
	ID       string `arg:"" optional:"" help:"Show this export only, with its parameters, times and files."`
	Data     string `placeholder:"DIR" help:"Data directory of the exports. It may be served meanwhile."`
	Database string `placeholder:"URL" help:"PostgreSQL database of the exports; --data is then the folder of their files, which --cancel needs to delete them at once."`
	Cancel   bool   `help:"Cancel the export: its workers stop, its files are deleted, and its client gets 404."`
	JSON     bool   `name:"json" help:"Print each export as a JSON object on one line."`
}

// Validate checks that a directory is named, and one export to cancel.
func (c jobsCmd) Validate() error {
	if c.Cancel && c.ID == "" {
		return errors.New("--cancel: name the export by its id, which 'muster jobs' lists")
	}
	return requireLocation(c.Data, c.Database)
}

// Run lists the exports, or shows or cancels one.
func (c jobsCmd) Run(a app) error {
	switch {
	case c.Cancel:
		return c.cancel(a)
	case c.ID != "":
		return c.show(a)
	}
	return c.list(a)
}

// list prints a line for each export, oldest first.
func (c jobsCmd) list(a app) (err error) {
	seen, err := inspectDirectory(a.ctx, c.Data, c.Database, store.Identity{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, seen.Close()) }()
	table := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	empty := true
	err = seen.EachJob(a.ctx, func(r store.JobRecord) error {
		j := describeJob(r, time.Now())
		if c.JSON {
			j.Parts = nil
			return printJSON(a.stdout, j)
		}
		if empty {
			fmt.Fprintln(table, "ID\tSTATE\tAGE\tCLIENT\tSIZE\tPROGRESS")
		}
		empty = false
		clients := j.clients()
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\n", j.ID, j.State, humanize.Duration(max(0, time.Since(r.Job.Created.Time()))), strings.Join(clients[:min(2, len(clients))], ", "), humanize.Bytes(j.StoredBytes), j.progress())
		return nil
	})
	if err == nil && empty && !c.JSON {
		fmt.Fprintln(table, "no exports")
	}
	return errors.Join(err, table.Flush())
}

// show prints one export.
func (c jobsCmd) show(a app) (err error) {
	seen, err := inspectDirectory(a.ctx, c.Data, c.Database, store.Identity{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, seen.Close()) }()
	record, err := seen.JobRecord(a.ctx, c.ID)
	if err != nil {
		return c.explain(err)
	}
	j := describeJob(record, time.Now())
	if c.JSON {
		return printJSON(a.stdout, j)
	}
	return j.print(a.stdout)
}

// cancel cancels the export for the operator, as its client would.
func (c jobsCmd) cancel(a app) (err error) {
	directory, err := a.openDirectory(c.Data, c.Database, store.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, directory.Close()) }()
	now := fhir.InstantOf(directory.Now())
	job, err := directory.Job(a.ctx, c.ID)
	if err != nil {
		return c.explain(err)
	}
	if state := job.At(now).State; !state.CanBecome(store.Cancelled) {
		return fmt.Errorf("the export %s is %s already", c.ID, state)
	}
	files, err := c.files(a.ctx, directory)
	if err != nil {
		return err
	}
	if files != nil {
		defer func() { err = errors.Join(err, files.Close()) }()
	}
	err = directory.Cancel(a.ctx, job.ID, job.Owner, now, now+fhir.Instant(export.DefaultRetention.Milliseconds()))
	if errors.Is(err, store.ErrNotFound) {
		return fmt.Errorf("the export %s was cancelled by another process", job.ID)
	}
	if err != nil {
		return err
	}
	if files != nil {
		if err := export.RemoveFiles(a.ctx, files, job.ID); err != nil {
			return fmt.Errorf("the export %s is cancelled, but its files are left to the server: %w", job.ID, err)
		}
	}
	if c.JSON {
		return c.show(a)
	}
	deleted := ", and its files are deleted"
	if files == nil {
		deleted = "; the next round of a server's janitor deletes its files"
	}
	_, err = fmt.Fprintf(a.stdout, "the export %s is cancelled%s\n", job.ID, deleted)
	return err
}

// files opens the folder of the export files, or returns nil if it is not named. It returns an
// error if the folder belongs to another directory: the copy of a directory has exports of the
// same ids.
func (c jobsCmd) files(ctx context.Context, d directory) (*ownedFolder, error) {
	if c.Data == "" {
		return nil, nil
	}
	files, err := openFilesFolder(ctx, c.Data, c.Database, d)
	if err != nil {
		return nil, err
	}
	owner, err := files.Owner(ctx)
	if err == nil && files.isForeign(owner) {
		err = fmt.Errorf("nothing was cancelled: %w", files.foreignError())
	}
	if err != nil {
		return nil, errors.Join(err, files.Close())
	}
	return files, nil
}

// explain says what to do if there is no export of that id.
func (c jobsCmd) explain(err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return fmt.Errorf("there is no export with the id %q: list the exports with: %s", c.ID, commandOn("jobs", c.Data, c.Database))
	}
	return err
}

// describedJob is an export as this command prints it. Times are RFC 3339; empty ones have not
// come yet.
type describedJob struct {
	ID              string      `json:"id"`
	State           store.State `json:"state"`
	Owner           string      `json:"owner"`             // who may see the export
	Client          string      `json:"client,omitempty"`  // who its limits count for
	Network         string      `json:"network,omitempty"` // around an IPv6 client, which counts too
	Filters         []string    `json:"filters"`
	Since           string      `json:"since,omitempty"`
	Created         string      `json:"created"`
	TransactionTime string      `json:"transactionTime,omitempty"`
	Started         string      `json:"started,omitempty"` // of writing
	LastProgress    string      `json:"lastProgress,omitempty"`
	Finished        string      `json:"finished,omitempty"`
	Expires         string      `json:"expires,omitempty"`
	LastPoll        string      `json:"lastPoll,omitempty"`
	Found           int64       `json:"found"`           // resources found or written so far
	Total           int64       `json:"total,omitempty"` // resources selected
	StoredBytes     int64       `json:"storedBytes"`     // of the files on disk
	Reason          string      `json:"reason,omitempty"`
	Parts           []jobPart   `json:"parts,omitempty"`
}

// jobPart is one output file of an export.
type jobPart struct {
	Number      int    `json:"number"`
	Kind        string `json:"kind"`
	Type        string `json:"type"` // of the resources in the file
	Done        bool   `json:"done"`
	Resources   int64  `json:"resources"`
	Bytes       int64  `json:"bytes"`                 // of NDJSON
	StoredBytes int64  `json:"storedBytes,omitempty"` // on disk
	File        string `json:"file,omitempty"`        // in the folder files
}

// describeJob describes an export as of now.
func describeJob(r store.JobRecord, now time.Time) describedJob {
	job := r.Job.At(fhir.InstantOf(now))
	j := describedJob{
		ID: job.ID, State: job.State, Owner: job.Owner, Client: job.Client.Name, Network: job.Client.Wider, Created: instantText(job.Created), TransactionTime: instantText(job.Time), Started: instantText(job.Started),
		LastProgress: instantText(job.Progress), Finished: instantText(job.Finished), Expires: instantText(job.Expires), LastPoll: instantText(job.Polled),
		Found: job.Found, Total: max(0, job.Total), Reason: job.Reason,
	}
	filters, since, err := export.StoredParameters(job.Request)
	if err != nil {
		j.Reason = cmp.Or(j.Reason, err.Error())
	}
	j.Filters = filters
	if since != nil {
		j.Since = since.String()
	}
	for _, p := range r.Parts {
		j.StoredBytes += p.Stored.GzipBytes
		j.Parts = append(j.Parts, jobPart{
			Number: p.Number, Kind: string(p.Kind), Type: p.ResourceType(), Done: p.Done, Resources: p.Count, Bytes: p.Bytes, StoredBytes: p.Stored.GzipBytes, File: p.Object,
		})
	}
	return j
}

// instantText returns a time, or "" for 0.
func instantText(at fhir.Instant) string {
	if at == 0 {
		return ""
	}
	return at.String()
}

// progress says in a few words how far the export is.
func (j describedJob) progress() string {
	out := humanize.NewPrinter()
	switch j.State {
	case store.Accepted:
		return "waits for a worker"
	case store.Selecting:
		return out.Sprintf("%d resources found", j.Found)
	case store.Writing:
		return out.Sprintf("%d of %d resources written", j.Found, j.Total)
	case store.Complete:
		return out.Sprintf("%d resources", j.Total)
	}
	return j.Reason
}

// clients returns the owner of the export, and, if its limits count for another client, that with its
// network.
func (j describedJob) clients() []string {
	names := []string{j.Owner}
	if own := client.Of(auth.Principal{ID: j.Owner}, netip.Addr{}); j.Client == own.Name {
		return names
	}
	return append(names, slices.DeleteFunc([]string{j.Client, j.Network}, func(name string) bool { return name == "" })...)
}

// print prints the export with its files.
func (j describedJob) print(w io.Writer) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(table, "%s\t%s\n", name, value)
		}
	}
	line("id", j.ID)
	line("state", string(j.State))
	for n, name := range j.clients() {
		line([]string{"owner", "client", "network"}[n], name)
	}
	for _, filter := range j.Filters {
		line("filter", filter)
	}
	line("since", j.Since)
	line("created", j.Created)
	line("transaction time", j.TransactionTime)
	line("writing since", j.Started)
	line("last progress", j.LastProgress)
	line("finished", j.Finished)
	line("expires", j.Expires)
	line("last poll", j.LastPoll)
	if j.Reason == "" {
		line("progress", j.progress())
	}
	line("reason", j.Reason)
	line("size", humanize.Bytes(j.StoredBytes))
	if err := table.Flush(); err != nil || len(j.Parts) == 0 {
		return err
	}
	fmt.Fprintln(table, "\nFILE\tKIND\tTYPE\tRESOURCES\tNDJSON\tSIZE\tNAME")
	for _, p := range j.Parts {
		size, name := "-", "not written yet"
		if p.Done {
			size, name = humanize.Bytes(p.StoredBytes), p.File
		}
		fmt.Fprintf(table, "%d\t%s\t%s\t%s\t%s\t%s\t%s\n", p.Number, p.Kind, p.Type, humanize.Int(p.Resources), humanize.Bytes(p.Bytes), size, name)
	}
	return table.Flush()
}

// printJSON prints a value as JSON on one line.
func printJSON(w io.Writer, value any) error {
	lines := json.NewEncoder(w)
	lines.SetEscapeHTML(false) // filters stay readable
	return lines.Encode(value)
}
