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

// verify ends a scenario: on a server that is not killed, every promise must hold.
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
		return fmt.Errorf("%w\nend of the log of the last server:\n%s", err, tail(s.Log()))
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

// check runs muster check on the directory.
func (e *scenario) check() error {
	args := []string{"check", "--deep", "--data", e.env.Data}
	if e.env.Database != "" {
		args = append(args, "--database", e.env.Database)
	}
	_, err := e.env.Program.Run(args...)
	return err
}

// everyJobEnds waits until every job of the store has ended and counts the outcomes.
func (e *scenario) everyJobEnds(ctx context.Context, s *testkit.Server) error {
	states, err := e.env.Jobs(ctx)
	if err != nil {
		return err
	}
	for id := range e.jobs {
		if _, stored := states[id]; !stored {
			return fmt.Errorf("job %s was accepted, but is not in the store", id)
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

// awaitEnd waits until a job has ended and returns its outcome. A job hangs if no job
// makes progress for a while; a busy machine alone is not an error.
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
			return "complete, kick-off not answered", nil
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

// reason matches the text of a failed job: that it failed, the cause if clients may know
// it, and what to do.
var reason = regexp.MustCompile(`^The export (could not be finished|failed: [A-Z]).*Please start`)

// hasReason checks that the answer contains the sentence that explains a failure to the
// client.
func hasReason(body string) error {
	var outcome struct {
		ResourceType string
		Issue        []struct{ Diagnostics string }
	}
	if err := json.Unmarshal([]byte(body), &outcome); err != nil || outcome.ResourceType != "OperationOutcome" {
		return fmt.Errorf("the answer for a failed job is %s", body)
	}
	for _, i := range outcome.Issue {
		if reason.MatchString(i.Diagnostics) {
			return nil
		}
	}
	return fmt.Errorf("a job failed without a reason: %s", body)
}

// nothingIsLost exports all resources in all states and compares them with the history.
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
		return fmt.Errorf("%d resources exist at the end, want %d", len(last.lines), len(final))
	}
	for n, version := range final {
		if last.lines[n].Version != version {
			return fmt.Errorf("%s has version %d at the end, want %d", n, last.lines[n].Version, version)
		}
	}
	return nil
}

// filesHaveOwners waits until a part names every file on disk, for as long as the janitor
// may take.
func (e *scenario) filesHaveOwners(ctx context.Context) error {
	directory, err := e.env.Open(ctx)
	if err != nil {
		return err
	}
	defer directory.Close()
	return e.withinPeriod("files without a job", func() ([]string, error) { return orphans(ctx, e.env, directory) })
}

func orphans(ctx context.Context, env *Env, s store.Store) ([]string, error) {
	files, err := env.Files()
	if err != nil {
		return nil, err
	}
	objects, _, err := s.Objects(ctx)
	if err != nil {
		return nil, err
	}
	for name := range objects {
		if !slices.Contains(files, name) {
			return nil, fmt.Errorf("a part names the file %s, which does not exist", name)
		}
	}
	return slices.DeleteFunc(files, func(name string) bool { return objects[name] }), nil
}

// slack is the time that a run of the janitor may take on a busy machine.
const slack = 20 * time.Second

// withinPeriod waits until no name is left, at most for a run of the janitor.
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
			return fmt.Errorf("%s still exist after a run of the janitor: %q", what, names)
		}
	}
}

// deletedIsGone deletes all jobs and checks that no file is left.
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
