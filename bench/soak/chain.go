package soak

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"muster/internal/testkit"
)

// Filters are the type filters of the exports.
var Filters = []string{"Practitioner?_lastUpdated=ge1900-01-01T00:00:00Z", "Location?_lastUpdated=ge1900-01-01T00:00:00Z"}

// Chain is a client that maintains a copy: one full export, then deltas, each with the
// transactionTime of the previous export as _since. It is not safe for use by several
// goroutines.
type Chain struct {
	History *History
	Rounds  int
	Lines   int
	Took    []time.Duration // time from kick-off to manifest, by round

	since string // transactionTime of the last manifest
	last  map[Name]int
}

// NewChain returns a chain without a round.
func NewChain(l *History) *Chain { return &Chain{History: l, last: map[Name]int{}} }

// Round runs one export and checks it. Each line must hold what was written, must be
// committed after the previous transaction time and not after this one, and must be new.
// All versions that were acknowledged before the kick-off must be part of the union.
func (c *Chain) Round(ctx context.Context, s *testkit.Server) error {
	expected := c.History.Expectations(c.since != "") // a full export holds visible resources, a delta all states
	start := time.Now()
	status, err := s.KickOff(testkit.Parameters(c.since, Filters...))
	if err != nil {
		return err
	}
	manifest, err := s.Wait(ctx, status)
	if err != nil {
		return err
	}
	c.Took = append(c.Took, time.Since(start))
	lines, err := Download(ctx, s, manifest)
	if err != nil {
		return err
	}
	if err := c.add(manifest.TransactionTime, lines); err != nil {
		return fmt.Errorf("round %d, _since %q, transactionTime %s: %w", c.Rounds+1, c.since, manifest.TransactionTime, err)
	}
	c.since = manifest.TransactionTime
	c.Rounds++
	c.Lines += len(lines)
	for n, want := range expected {
		if c.last[n] < want.Version && c.History.StillExpected(n, want) {
			return fmt.Errorf("round %d: %s version %d was acknowledged before the kick-off, but the union of all rounds has version %d", c.Rounds, n, want.Version, c.last[n])
		}
	}
	return deleteJob(ctx, status)
}

// add adds the lines of a round to the union.
func (c *Chain) add(transactionTime string, lines []Line) error {
	until, err := time.Parse(time.RFC3339Nano, transactionTime)
	if err != nil {
		return err
	}
	var from time.Time
	if c.since != "" {
		if from, err = time.Parse(time.RFC3339Nano, c.since); err != nil {
			return err
		}
		if !until.After(from) {
			return fmt.Errorf("the transaction time does not increase")
		}
	}
	for _, r := range lines {
		if err := c.History.CheckLine(r); err != nil {
			return err
		}
		switch last := c.last[r.Name]; {
		case r.Committed.After(until):
			return fmt.Errorf("%s version %d was committed at %v, after the transaction time", r.Name, r.Version, r.Committed)
		case !r.Committed.After(from):
			return fmt.Errorf("%s version %d was committed at %v, not after _since", r.Name, r.Version, r.Committed)
		case r.Version == last:
			return fmt.Errorf("%s version %d is repeated", r.Name, r.Version)
		case r.Version < last:
			return fmt.Errorf("%s version %d follows version %d", r.Name, r.Version, last)
		}
		c.last[r.Name] = r.Version
	}
	return nil
}

// Verify compares the union with what was written, after all writers have ended and a
// last round has run.
func (c *Chain) Verify() error {
	for n, version := range c.History.Final(true) {
		if c.last[n] != version {
			return fmt.Errorf("%s has version %d at the end, but the union of %d rounds has version %d", n, version, c.Rounds, c.last[n])
		}
	}
	return nil
}

// Download downloads all files of a manifest from s, even if their URLs name another server,
// and returns their lines. It returns an error if the number of lines of a file differs from
// the count in the manifest.
func Download(ctx context.Context, s *testkit.Server, m testkit.Manifest) ([]Line, error) {
	var all []Line
	for _, o := range m.Output {
		_, file, _ := strings.Cut(o.URL, "/Binary/")
		body, status, err := testkit.Fetch(ctx, s.Base+"/Binary/"+file, map[string]string{"Accept": "application/fhir+ndjson"})
		if err != nil {
			return nil, interrupted{err}
		}
		if status != http.StatusOK {
			return nil, errorAnswer{fmt.Errorf("GET %s: %d: %s", o.URL, status, body), status}
		}
		lines, err := Lines(o.Type, body)
		if err != nil {
			return nil, err
		}
		if len(lines) != o.Count {
			return nil, fmt.Errorf("%s has %d lines, but the manifest says %d", o.URL, len(lines), o.Count)
		}
		all = append(all, lines...)
	}
	return all, nil
}

// interrupted is the error of a download that was cut off, perhaps by a crash of the server.
type interrupted struct{ error }

func (b interrupted) Unwrap() error { return b.error }

// errorAnswer is the error of a download that was answered with an error status.
type errorAnswer struct {
	error
	status int
}

// deleteJob deletes a job.
func deleteJob(ctx context.Context, status string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodDelete, status, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusAccepted {
		return fmt.Errorf("DELETE %s: %s", status, resp.Status)
	}
	return nil
}
