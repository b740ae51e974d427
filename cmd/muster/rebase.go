package main

import (
	"errors"
	"fmt"

	"muster/internal/conformance"
	"muster/internal/load"
	"muster/internal/policy"
	"muster/internal/store"
)

// rebaseCmd is `muster rebase`.
type rebaseCmd struct {
	Data     string `placeholder:"DIR" help:"Data directory to move to another base URL. It must not be served meanwhile."`
	Database string `placeholder:"URL" help:"PostgreSQL database whose directory to move instead."`
	BaseURL  string `name:"base-url" required:"" placeholder:"URL" help:"New public base URL, which becomes part of every link."`
}

// Validate checks that a directory is named, and the base URL. Kong reports a missing one.
func (c rebaseCmd) Validate() error {
	if c.BaseURL == "" {
		return nil
	}
	return firstError(requireLocation(c.Data, c.Database), checkBaseURL(c.BaseURL))
}

// Run stores the new base URL and rebuilds the index, since absolute references below the new
// base URL lead into the directory now. Those below former base URLs still do. Versions,
// times, files and jobs do not change: links are written when a client asks. If Run is
// interrupted, the next run resumes.
func (c rebaseCmd) Run(a app) (err error) {
	registry, err := conformance.Load()
	if err != nil {
		return err
	}
	directory, lock, err := a.openUnserved(c.Data, c.Database, store.Options{Rules: load.RulesFor(registry)})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Close(), directory.Close()) }()
	before := directory.Info()
	current := store.Identity{DefinitionsHash: registry.DefinitionsHash(), Rules: policy.RulesVersion(), Cascades: true}
	if before.BaseURL == c.BaseURL && before.Check(current) == nil {
		fmt.Fprintf(a.stdout, "the base URL is %s already\n", c.BaseURL)
		return nil
	}
	if err := rebuildIndex(a, directory, registry, c.BaseURL); err != nil {
		return fmt.Errorf("%w: run this command again, which resumes where it stopped", err)
	}
	fmt.Fprintf(a.stdout, "the base URL is %s now%s\n", c.BaseURL, formerBaseURL(before, c.BaseURL))
	running, err := directory.Live(a.ctx)
	if err != nil {
		return err
	}
	if len(running) > 0 {
		fmt.Fprintf(a.stdout, "running exports: %d; they continue when the server starts, and their clients must poll at the new base URL\n", len(running))
	}
	return nil
}

// formerBaseURL describes the base URL of a directory before it moved.
func formerBaseURL(before store.Identity, now string) string {
	switch before.BaseURL {
	case now:
		return ", as before"
	case "":
		return "; it had none"
	}
	return "; it was " + before.BaseURL
}
