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
func (sc *scenario) verify(ctx context.Context) error {
	ctx = context.WithValue(ctx, calm{}, true)
	s, err := sc.env.Serve(serveArgs...)
	if err != nil {
		return err
	}
	defer s.Kill()
	err = sc.verifyOn(ctx, s)
	for _, w := range warnings(s.Log()) {
		sc.report.count(sc.report.Warnings, message(w))
	}
	if err != nil {
		return fmt.Errorf("%w\nend of the log of the last server:\n%s", err, tail(s.Log()))
	}
	return nil
}

func (sc *scenario) verifyOn(ctx context.Context, s *testkit.Server) error {
	if err := sc.everyJobEnds(ctx, s); err != nil {
		return err
	}
	if err := sc.nothingIsLost(ctx, s); err != nil {
		return err
	}
	if err := sc.checker.check(); err != nil {
		return err
	}
	if err := sc.filesHaveOwners(ctx); err != nil {
		return err
	}
	if err := sc.check(); err != nil {
		return err
	}
	if err := sc.deletedIsGone(ctx, s); err != nil {
		return err
	}
	if err := s.Terminate(); err != nil {
		return err
	}
	return sc.check()
}

// check runs muster check on the directory.
func (sc *scenario) check() error {
	args := []string{"check", "--deep", "--data", sc.env.Data}
	if sc.env.Database != "" {
		args = append(args, "--database", sc.env.Database)
	}
	_, err := sc.env.Program.Run(args...)
	return err
}

// everyJobEnds waits until every job of the store has ended and counts the outcomes.
func (sc *scenario) everyJobEnds(ctx context.Context, s *testkit.Server) error {
	states, err := sc.env.Jobs(ctx)
	if err != nil {
		return err
	}
	for id := range sc.jobs {
		if _, stored := states[id]; !stored {
			return fmt.Errorf("job %s was accepted, but is not in the store", id)
		}
	}
	for id := range states {
		outcome, err := sc.awaitEnd(ctx, s, id)
		if err != nil {
			return err
		}
		sc.report.count(sc.report.Outcomes, outcome)
	}
	return nil
}

// awaitEnd waits until a job has ended and returns its outcome. A job hangs if no job
// makes progress for a while; a busy machine alone is not an error.
func (sc *scenario) awaitEnd(ctx context.Context, s *testkit.Server, id string) (string, error) {
	_, known := sc.jobs[id]
	progress, deadline := int64(-1), time.Now().Add(testkit.Patience)
	for {
		a, err := sc.poll(ctx, s, id)
		switch {
		case err != nil:
			return "", err
		case a.status == http.StatusOK && known:
			return "complete", nil
		case a.status == http.StatusOK:
			return "complete, kick-off not answered", nil
		case a.status == http.StatusInternalServerError:
			return "failed with a reason", hasReason(a.body)
		case a.status == http.StatusNotFound && known && sc.jobs[id].cancelled:
			return "cancelled", nil
		case a.status != http.StatusAccepted:
			return "", fmt.Errorf("a poll of job %s: %d: %s", id, a.status, a.body)
		}
		if time.Now().After(deadline) {
			before := progress
			if progress, err = sc.env.Progress(ctx); err != nil {
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
func (sc *scenario) nothingIsLost(ctx context.Context, s *testkit.Server) error {
	const everything = "1970-01-01T00:00:00Z"
	ctx, cancel := context.WithTimeout(ctx, testkit.Patience)
	defer cancel()
	status, err := s.KickOff(testkit.Parameters(everything, Filters...))
	if err != nil {
		return err
	}
	_, id, _ := strings.Cut(status, "_jobId=")
	sc.jobs[id] = &request{since: everything, expected: sc.history.Expectations(true)}
	if _, err := sc.awaitEnd(ctx, s, id); err != nil {
		return err
	}
	last := sc.checker.last()
	final := sc.history.Final(true)
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
func (sc *scenario) filesHaveOwners(ctx context.Context) error {
	directory, err := sc.env.Open(ctx)
	if err != nil {
		return err
	}
	defer directory.Close()
	return sc.withinPeriod("files without a job", func() ([]string, error) { return orphans(ctx, sc.env, directory) })
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
func (sc *scenario) withinPeriod(what string, left func() ([]string, error)) error {
	for start := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		names, err := left()
		if err != nil {
			return err
		}
		if len(names) == 0 {
			sc.report.record(&sc.report.Orphans, time.Since(start))
			return nil
		}
		if time.Since(start) > sweepEvery+slack {
			return fmt.Errorf("%s still exist after a run of the janitor: %q", what, names)
		}
	}
}

// deletedIsGone deletes all jobs and checks that no file is left.
func (sc *scenario) deletedIsGone(ctx context.Context, s *testkit.Server) error {
	states, err := sc.env.Jobs(ctx)
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
	return sc.withinPeriod("files of deleted jobs", sc.env.Files)
}
