package soak

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"muster/internal/store"
	"muster/internal/testkit"
)

// reckon ends an episode: on a server that nobody kills, everything must come out
// right.
func (e *scenario) verify(ctx context.Context) error {
	ctx = context.WithValue(ctx, calm{}, true)
	s, err := e.env.Serve(serveArgs...)
	if err != nil {
		return err
	}
	defer s.Kill()
	err = e.verifyOn(ctx, s)
	for _, w := range warnings(s.Log()) {
		e.report.count(e.report.Warnings, message(w))
	}
	if err != nil {
		return fmt.Errorf("%w\nlog of the last server, its end:\n%s", err, tail(s.Log()))
	}
	return nil
}

func (e *scenario) verifyOn(ctx context.Context, s *testkit.Server) error {
	if err := e.everyJobEnds(ctx, s); err != nil {
		return err
	}
	if err := e.nothingIsLost(ctx, s); err != nil {
		return err
	}
	if err := e.checker.check(); err != nil {
		return err
	}
	if err := e.filesHaveOwners(ctx); err != nil {
		return err
	}
	if err := e.check(); err != nil {
		return err
	}
	if err := e.deletedIsGone(ctx, s); err != nil {
		return err
	}
	if err := s.Terminate(); err != nil {
		return err
	}
	return e.check()
}

// check lets muster look at its own directory.
func (e *scenario) check() error {
	args := []string{"check", "--deep", "--data", e.env.Data}
	if e.env.Database != "" {
		args = append(args, "--database", e.env.Database)
	}
	_, err := e.env.Program.Run(args...)
	return err
}

// everyJobEnds waits for every job of the store, and counts how they ended.
func (e *scenario) everyJobEnds(ctx context.Context, s *testkit.Server) error {
	states, err := e.env.Jobs(ctx)
	if err != nil {
		return err
	}
	for id := range e.jobs {
		if _, there := states[id]; !there {
			return fmt.Errorf("job %s was accepted and is not in the store", id)
		}
	}
	for id := range states {
		outcome, err := e.awaitEnd(ctx, s, id)
		if err != nil {
			return err
		}
		e.report.count(e.report.Outcomes, outcome)
	}
	return nil
}

// end waits until a job has ended and returns how. A job hangs when no work on any job
// comes forward: a busy machine is no reason.
func (e *scenario) awaitEnd(ctx context.Context, s *testkit.Server, id string) (string, error) {
	_, known := e.jobs[id]
	progress, deadline := int64(-1), time.Now().Add(testkit.Patience)
	for {
		a, err := e.poll(ctx, s, id)
		switch {
		case err != nil:
			return "", err
		case a.status == http.StatusOK && known:
			return "complete", nil
		case a.status == http.StatusOK:
			return "complete, its kick-off without an answer", nil
		case a.status == http.StatusInternalServerError:
			return "failed with a reason", hasReason(a.body)
		case a.status == http.StatusNotFound && known && e.jobs[id].cancelled:
			return "cancelled", nil
		case a.status != http.StatusAccepted:
			return "", fmt.Errorf("a poll of job %s: %d: %s", id, a.status, a.body)
		}
		if time.Now().After(deadline) {
			before := progress
			if progress, err = e.env.Progress(ctx); err != nil {
				return "", err
			}
			if progress == before {
				return "", fmt.Errorf("job %s does not end: %d: %s", id, a.status, a.body)
			}
			deadline = time.Now().Add(testkit.Patience)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// reason is what a failed job says: that it failed, with a cause where there is one for
// the client, and the way out.
var reason = regexp.MustCompile(`^The export (could not be finished|failed: [A-Z]).*Please start`)

// hasReason looks for the sentence that tells a client why its job failed.
func hasReason(body string) error {
	var outcome struct {
		ResourceType string
		Issue        []struct{ Diagnostics string }
	}
	if err := json.Unmarshal([]byte(body), &outcome); err != nil || outcome.ResourceType != "OperationOutcome" {
		return fmt.Errorf("a failed job answers %s", body)
	}
	for _, i := range outcome.Issue {
		if reason.MatchString(i.Diagnostics) {
			return nil
		}
	}
	return fmt.Errorf("a job failed without a reason: %s", body)
}

// nothingIsLost exports everything in all states, and compares it with the ledger.
func (e *scenario) nothingIsLost(ctx context.Context, s *testkit.Server) error {
	const everything = "1970-01-01T00:00:00Z"
	ctx, cancel := context.WithTimeout(ctx, testkit.Patience)
	defer cancel()
	status, err := s.KickOff(testkit.Parameters(everything, Filters...))
	if err != nil {
		return err
	}
	_, id, _ := strings.Cut(status, "_jobId=")
	e.jobs[id] = &request{since: everything, expected: e.history.Expectations(true)}
	if _, err := e.awaitEnd(ctx, s, id); err != nil {
		return err
	}
	last := e.checker.last()
	final := e.history.Final(true)
	if len(last.lines) != len(final) {
		return fmt.Errorf("%d resources are there at the end, want %d", len(last.lines), len(final))
	}
	for n, version := range final {
		if last.lines[n].Version != version {
			return fmt.Errorf("%s has version %d at the end, want %d", n, last.lines[n].Version, version)
		}
	}
	return nil
}

// filesHaveOwners waits until all files on the disk are named by a part, for as long as
// the janitor may take.
func (e *scenario) filesHaveOwners(ctx context.Context) error {
	directory, err := e.env.Open(ctx)
	if err != nil {
		return err
	}
	defer directory.Close()
	return e.withinPeriod("files without an owner", func() ([]string, error) { return orphans(ctx, e.env, directory) })
}

func orphans(ctx context.Context, g *Env, s store.Store) ([]string, error) {
	files, err := g.Files()
	if err != nil {
		return nil, err
	}
	objects, _, err := s.Objects(ctx)
	if err != nil {
		return nil, err
	}
	for name := range objects {
		if !slices.Contains(files, name) {
			return nil, fmt.Errorf("a part names the file %s, which is not there", name)
		}
	}
	return slices.DeleteFunc(files, func(name string) bool { return objects[name] }), nil
}

// slack is what a round of the janitor may take on a busy machine.
const slack = 20 * time.Second

// withinPeriod waits until nothing is left, at most for a round of the janitor.
func (e *scenario) withinPeriod(what string, left func() ([]string, error)) error {
	for start := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		names, err := left()
		if err != nil {
			return err
		}
		if len(names) == 0 {
			e.report.record(&e.report.Orphans, time.Since(start))
			return nil
		}
		if time.Since(start) > sweepEvery+slack {
			return fmt.Errorf("%s are still there after a round of the janitor: %q", what, names)
		}
	}
}

// deletedIsGone deletes all jobs: no file is left of any.
func (e *scenario) deletedIsGone(ctx context.Context, s *testkit.Server) error {
	states, err := e.env.Jobs(ctx)
	if err != nil {
		return err
	}
	for id, state := range states {
		if state == store.Cancelled || state == store.Expired {
			continue
		}
		if err := deleteJob(ctx, statusURL(s, id)); err != nil {
			return err
		}
	}
	return e.withinPeriod("files of deleted jobs", e.env.Files)
}
