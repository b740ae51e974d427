package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"muster/internal/conformance"
	"muster/internal/failpoint"
	"muster/internal/fhir"
	"muster/internal/humanize"
	"muster/internal/load"
	"muster/internal/policy"
	"muster/internal/search/index"
	"muster/internal/store"
)

// loadCmd is `muster load`.
type loadCmd struct {
	Data     string   `placeholder:"DIR" help:"Data directory to load into. It is created if it does not exist."`
	Database string   `placeholder:"URL" help:"PostgreSQL database to load into instead, as postgres://USER:PASSWORD@HOST:PORT/DATABASE. It must exist, and be empty or contain a directory."`
	BaseURL  string   `name:"base-url" placeholder:"URL" help:"Public base URL of the directory. Absolute references that begin with it point into the directory; relative references do not need it. It is stored; muster rebase changes it."`
	Atomic   bool     `help:"Load all or nothing: in one transaction, of which no reader sees a part, and nothing if a resource is refused. At most 10,000 changes."`
	Changes  bool     `help:"Apply changes: also read removed.ids and changes.jsonl of muster generate --days, and remove what a DELETE in a Bundle names."`
	KeepMeta bool     `help:"Keep the meta.lastUpdated of resources instead of setting it to the time of the load."`
	Profile  string   `enum:"warn,strict" default:"warn" placeholder:"MODE" help:"What to do with resources that are not valid FHIR R4 or do not conform to the guide's profiles: warn loads them with warnings; strict refuses them."`
	Rejects  string   `placeholder:"FILE" help:"Write refused resources to this file, as NDJSON lines with file, line, type, id, reason and stored."`
	Warnings string   `placeholder:"FILE" help:"Write warnings to this file, in the same format: resources that break a rule of FHIR R4 or of the profiles and are loaded nevertheless."`
	Paths    []string `arg:"" name:"path" help:"Files of NDJSON, of one JSON resource or of a Bundle, optionally gzipped; folders of such files; or - for standard input."`
}

// Validate checks that a directory is named.
func (c loadCmd) Validate() error { return requireLocation(c.Data, c.Database) }

// Run loads the paths and prints a summary. The exit code is 3 if resources were refused and
// others were loaded, and 1 if all were refused or the load is atomic. Warnings do not change the exit code.
func (c loadCmd) Run(a app) (err error) {
	find := load.Inputs
	if c.Changes {
		find = load.ChangeInputs
	}
	inputs, skipped, err := find(c.Paths, &contextReader{ctx: a.ctx, from: a.stdin})
	if err != nil {
		return err
	}
	if err := cmp.Or(c.checkOutput(a, inputs, "--rejects", c.Rejects), c.checkOutput(a, inputs, "--warnings", c.Warnings)); err != nil {
		return err
	}
	if c.Rejects != "" && realPath(c.Rejects) == realPath(c.Warnings) {
		return fmt.Errorf("--warnings %s is the rejects file: name another file", c.Warnings)
	}
	config := load.Config{Atomic: c.Atomic, Changes: c.Changes, KeepMeta: c.KeepMeta, Strict: c.Profile == "strict"}
	directory, err := openToLoad(a, c.Data, c.Database, c.BaseURL, &config, func() { c.announce(a) })
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, directory.Close()) }()
	rejects, err := c.rejects(a) // last, since it truncates the file
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rejects.Close()) }()
	warnings, err := c.warnings()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, warnings.Close()) }()
	progress := newProgress(a.stderr)
	config.Rejects, config.Warnings, config.Progress = rejects, warnings, loadProgress{progress}
	start := time.Now()
	summary, err := load.Run(a.ctx, config, inputs)
	progress.end()
	for _, notice := range summary.Notices {
		fmt.Fprintf(a.stderr, "warning: %s\n", notice)
	}
	rejects.end()
	err = errors.Join(err, failpoint.Inject(a.ctx, "load.summary"))
	if err == nil || summary.Read > 0 {
		c.printSummary(a, summary, skipped, time.Since(start))
		c.warnOutside(a, summary.Outside, directory.Info().BaseURL)
	}
	if err != nil && c.Atomic && summary.Loaded() == 0 {
		return fmt.Errorf("nothing was loaded: %w", err)
	}
	if errors.Is(err, context.Canceled) && a.ctx.Err() != nil {
		return fmt.Errorf("%w: the resources in the summary are loaded; run the command again to load the rest", context.Cause(a.ctx))
	}
	if err != nil {
		return err
	}
	if summary.Loaded() > 0 || summary.RefusedTotal() == 0 {
		if err := directory.SetLast(a.ctx, store.LoadWork, fhir.InstantOf(directory.Now())); err != nil {
			return err
		}
	}
	return c.refusedError(summary)
}

// refusedError returns the error of a load that has refused resources. A load that has
// loaded nothing has failed.
func (c loadCmd) refusedError(s load.Summary) error {
	n := s.RefusedTotal()
	switch {
	case n == 0:
		return nil
	case c.Atomic:
		return fmt.Errorf("nothing was loaded, since %d of %d resources were refused: correct them, or leave out --atomic to load the others", n, s.Read)
	case s.Loaded() > 0:
		return exitError{exitRefused, fmt.Errorf("%d of %d resources were refused; the others were loaded", n, s.Read)}
	case c.Rejects != "":
		return fmt.Errorf("nothing was loaded, all was refused: see the reasons in %s", c.Rejects)
	}
	return errors.New("nothing was loaded, all was refused: see the reasons above")
}

// announce says that the directory is new, since its name may be mistyped.
func (c loadCmd) announce(a app) {
	if c.Database != "" {
		fmt.Fprintf(a.stderr, "warning: created a new directory in the empty database %s: if it should have existed, stop and check --database\n", withoutPassword(c.Database))
		return
	}
	fmt.Fprintf(a.stderr, "warning: created the new data directory %s: if it should have existed, stop and check --data\n", realPath(c.Data))
}

// loadProgress implements [load.Progress].
type loadProgress struct{ *progress }

// Loaded implements [load.Progress].
func (p loadProgress) Loaded(at load.Position) {
	share := ""
	if at.Total > 0 {
		share = fmt.Sprintf(", %d %% of the input", 100*at.Bytes/at.Total)
	}
	p.report(stageProgress{
		stage: "loading", done: at.Bytes, total: at.Total, bytes: true,
		line: humanize.NewPrinter().Sprintf("%d resources read%s (%s)", at.Summary.Read, share, at.Input),
	})
}

// loadInto opens the data directory, creating it if needed, and loads the inputs. If
// baseURL is empty, all absolute references point to other servers. It sets the directory
// and the extractor of the configuration.
func loadInto(a app, dir, baseURL string, c load.Config, inputs []load.Input) (_ load.Summary, err error) {
	directory, err := openToLoad(a, dir, "", baseURL, &c, nil)
	if err != nil {
		return load.Summary{}, err
	}
	defer func() { err = errors.Join(err, directory.Close()) }()
	return load.Run(a.ctx, c, inputs)
}

// openToLoad opens the directory, creating it if needed, and sets the directory and the
// extractor of the configuration. It calls created, if that is set, when it has created the
// directory.
func openToLoad(a app, data, database, baseURL string, c *load.Config, created func()) (_ directory, err error) {
	if baseURL != "" {
		if err := checkBaseURL(baseURL); err != nil {
			return nil, exitError{exitUsage, err}
		}
	}
	registry, err := conformance.Load()
	if err != nil {
		return nil, err
	}
	opened, err := a.openDirectory(data, database, store.Options{Create: &store.Identity{
		BaseURL: baseURL, Mode: "authoritative", DefinitionsHash: registry.DefinitionsHash(), Rules: policy.RulesVersion(), Cascades: true,
	}, Created: created, Rules: load.RulesFor(registry)})
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, opened.Close())
		}
	}()
	if baseURL != "" {
		if err := opened.AdoptBaseURL(a.ctx, baseURL); err != nil {
			return nil, err
		}
	}
	if c.Extractor, err = index.NewExtractor(registry, opened.Info().Addresses()...); err != nil {
		return nil, err
	}
	c.Directory = opened
	return opened, nil
}

// printSummary prints the counts, with the kinds of refusals and warnings, and the files that
// were not read.
func (c loadCmd) printSummary(a app, s load.Summary, skipped []load.Skipped, took time.Duration) {
	out := humanize.NewPrinter()
	line := func(what string, n int64) { out.Fprintf(a.stdout, "%-10s %12d\n", what, n) }
	line("read", s.Read)
	line("created", s.Created)
	line("updated", s.Updated)
	line("unchanged", s.Unchanged)
	if c.Changes {
		line("removed", s.Removed)
		line("absent", s.Absent)
	}
	if c.Atomic {
		line("replaced", s.Replaced)
	}
	line("refused", s.RefusedTotal())
	printKinds(a, s.Refused)
	printOlder(a, s)
	line("warnings", s.WarnedTotal())
	printKinds(a, s.Warned)
	printDangling(a.stdout, s.Dangling)
	printSkipped(a.stdout, skipped)
	out.Fprintf(a.stderr, "%d resources in %s\n", s.Read, humanize.Duration(took))
}

// maxDanglingShown is the number of groups of dangling references that are printed.
const maxDanglingShown = 20

// printDangling prints which references dangle at the end of the load.
func printDangling(w io.Writer, groups []load.DanglingGroup) {
	out := humanize.NewPrinter()
	var total, more int64
	for n, g := range groups {
		if total += g.Count; n >= maxDanglingShown {
			more += g.Count
		}
	}
	if total > 0 {
		out.Fprintf(w, "%-10s %12d\n", "dangling", total)
	}
	for _, g := range groups[:min(len(groups), maxDanglingShown)] {
		out.Fprintf(w, "  %12d %s to %s, such as that of %s\n", g.Count, g.Member, g.To, g.Example)
	}
	if more > 0 {
		out.Fprintf(w, "%15s… and %d more: use --warnings FILE to list all\n", "", more)
	}
}

// printOlder prints the older versions that remain stored because a newer version was
// refused.
func printOlder(a app, s load.Summary) {
	out := humanize.NewPrinter()
	if n := s.KeptTotal(); n > 0 {
		out.Fprintf(a.stdout, "%-10s %12d\n", "older", n)
	}
	for _, stored := range []load.Stored{load.StillServed, load.NowHidden, load.AlreadyHidden} {
		if s.Kept[stored] == 0 {
			continue
		}
		out.Fprintf(a.stdout, "  %12d %s\n", s.Kept[stored], stored)
		more := s.Kept[stored]
		for _, o := range s.Older {
			if o.Stored == stored {
				more--
				fmt.Fprintf(a.stdout, "%15s%s/%s\n", "", o.Type, o.ID)
			}
		}
		if more > 0 {
			out.Fprintf(a.stdout, "%15s… and %d more: use --rejects FILE to list all\n", "", more)
		}
	}
}

// maxSkippedShown is the number of files that were not read whose names are printed.
const maxSkippedShown = 20

// printSkipped prints the files and folders that were not read.
func printSkipped(w io.Writer, skipped []load.Skipped) {
	out := humanize.NewPrinter()
	if n := len(skipped); n > 0 {
		out.Fprintf(w, "%-10s %12d\n", "not read", n)
	}
	for _, s := range skipped[:min(len(skipped), maxSkippedShown)] {
		fmt.Fprintf(w, "%15s%s: %s\n", "", s.Path, s.Reason)
	}
	if more := len(skipped) - maxSkippedShown; more > 0 {
		out.Fprintf(w, "%15s… and %d more\n", "", more)
	}
}

// warnOutside prints one line about the references to other servers: how many there are,
// where they point, and what to do.
func (c loadCmd) warnOutside(a app, outside map[string]int64, baseURL string) {
	if len(outside) == 0 {
		return
	}
	servers := slices.SortedFunc(maps.Keys(outside), func(x, y string) int {
		return cmp.Or(cmp.Compare(outside[y], outside[x]), cmp.Compare(x, y))
	})
	var total int64
	for _, n := range outside {
		total += n
	}
	others := ""
	switch n := len(servers) - 1; {
	case n == 1:
		others = " and 1 other server"
	case n > 1:
		others = fmt.Sprintf(" and %d other servers", n)
	}
	what := "This directory has no base URL yet: if that is its address, run: " + commandOn("rebase", c.Data, c.Database) + " --base-url " + servers[0]
	if baseURL != "" {
		what = "The base URL of this directory is " + baseURL + ": if the targets are in this directory, write Type/id"
	}
	how := "references point"
	if total == 1 {
		how = "reference points"
	}
	humanize.NewPrinter().Fprintf(a.stderr, "warning: %d %s to %s%s: kept, but searches follow references into this directory only. %s\n", total, how, cmp.Or(servers[0], "other servers"), others, what)
}

// printKinds prints the counts of kinds, sorted by name.
func printKinds(a app, by map[load.Kind]int64) {
	out := humanize.NewPrinter()
	for _, kind := range slices.Sorted(maps.Keys(by)) {
		out.Fprintf(a.stdout, "  %12d %s\n", by[kind], kind)
	}
}

// maxRefusalsShown is the number of refusals that are printed if there is no rejects file.
const maxRefusalsShown = 5

// rejects writes refusals: all of them to a file, or the first few to standard error.
type rejects struct {
	file   *os.File
	lines  *load.RejectsFile
	stderr io.Writer
	n      int
}

// checkOutput returns an error if writing the file would destroy an input, also under
// another path, or a file of the data directory.
func (c loadCmd) checkOutput(a app, inputs []load.Input, option, path string) error {
	if path == "" {
		return nil
	}
	if c.Database != "" {
		// --data does not name the directory that is loaded.
	} else if inside, err := filepath.Rel(realPath(c.Data), realPath(path)); err == nil && filepath.IsLocal(inside) {
		return fmt.Errorf("%s %s is in the data directory: name a file outside it", option, path)
	}
	target, err := os.Stat(path)
	if err != nil || !target.Mode().IsRegular() {
		return nil // nothing to destroy; other errors show when the file is created
	}
	for _, in := range inputs {
		info, err := os.Stat(in.Name)
		if stdin, ok := a.stdin.(*os.File); ok && in.Size < 0 {
			info, err = stdin.Stat()
		}
		if err == nil && os.SameFile(info, target) {
			return fmt.Errorf("%s %s is the input %s, which it would overwrite: name another file", option, path, in.Name)
		}
	}
	return nil
}

// realPath returns the absolute path without symbolic links. If the file does not exist,
// it resolves the links of its folder only.
func realPath(path string) string {
	if absolute, err := filepath.Abs(path); err == nil {
		path = absolute
	}
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real
	}
	if folder, err := filepath.EvalSymlinks(filepath.Dir(path)); err == nil {
		return filepath.Join(folder, filepath.Base(path))
	}
	return path
}

// rejects creates the rejects file, if one is named.
func (c loadCmd) rejects(a app) (*rejects, error) {
	r := &rejects{stderr: a.stderr}
	if c.Rejects == "" {
		return r, nil
	}
	file, err := os.Create(c.Rejects)
	if err != nil {
		return nil, fmt.Errorf("--rejects: %w", err)
	}
	r.file, r.lines = file, load.NewRejectsFile(file)
	return r, nil
}

// Reject implements [load.Rejecter].
func (r *rejects) Reject(what load.Rejected) error {
	if r.lines != nil {
		return r.lines.Reject(what)
	}
	if r.n++; r.n <= maxRefusalsShown {
		name := ""
		if what.Type != "" || what.ID != "" {
			name = what.Type + "/" + what.ID + ": "
		}
		older := ""
		if what.Stored != "" {
			older = fmt.Sprintf(" (the older version is %s)", what.Stored)
		}
		fmt.Fprintf(r.stderr, "refused: %s:%d: %s%s%s\n", what.File, what.Line, name, what.Reason, older)
	}
	return nil
}

// end prints the number of refusals that were not shown.
func (r *rejects) end() {
	if r.n > maxRefusalsShown {
		fmt.Fprintf(r.stderr, "… and %d more: use --rejects FILE to list all\n", r.n-maxRefusalsShown)
	}
}

func (r *rejects) Close() error {
	if r.file == nil {
		return nil
	}
	return r.file.Close()
}

// warnings writes warnings to a file, if one is named. Otherwise they are only counted,
// since real data has many.
type warnings struct {
	file  *os.File
	lines *load.RejectsFile
}

// warnings creates the warnings file, if one is named.
func (c loadCmd) warnings() (*warnings, error) {
	if c.Warnings == "" {
		return &warnings{}, nil
	}
	file, err := os.Create(c.Warnings)
	if err != nil {
		return nil, fmt.Errorf("--warnings: %w", err)
	}
	return &warnings{file, load.NewRejectsFile(file)}, nil
}

// Reject implements [load.Rejecter].
func (w *warnings) Reject(what load.Rejected) error {
	if w.lines == nil {
		return nil
	}
	return w.lines.Reject(what)
}

func (w *warnings) Close() error {
	if w.file == nil {
		return nil
	}
	return w.file.Close()
}
