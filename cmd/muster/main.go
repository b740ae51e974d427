// Command muster serves a national healthcare provider directory (FHIR R4) with search
// and asynchronous bulk export.
//
// Each subcommand is a struct in the file of its name. Its fields are the options; its
// Run method runs the command.
//
// Commands write as follows:
//
//   - Standard output has the result of a command only: a summary, findings, matches, a report.
//     It is the same whether it is a terminal or not. With --json it is JSON.
//   - Standard error has everything else: progress, timings, warnings, the log of serve, and
//     the error of a command that fails, as one last line that begins with "muster: ". An error of
//     the command line is followed by a line about --help.
//   - Progress is a bar if standard error is a terminal, and otherwise a plain line every ten
//     seconds (type progress).
//   - The exit code reports whether a command succeeded (constants exitOK and following).
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"slices"
	"strings"
	"syscall"

	"muster/internal/failpoint"

	"github.com/alecthomas/kong"
)

// cli lists the subcommands and the options they share.
type cli struct {
	Config      configFile       `help:"YAML file with options." placeholder:"FILE"`
	ShowVersion kong.VersionFlag `name:"version" env:"-" help:"Print the version and exit."`

	Generate generateCmd `cmd:"" help:"Generate a synthetic Australian directory as NDJSON files."`
	Report   reportCmd   `cmd:"" help:"Print statistics of a directory, as text, JSON or an HTML page."`
	Load     loadCmd     `cmd:"" help:"Load resources into a data directory."`
	Serve    serveCmd    `cmd:"" help:"Serve a directory over HTTP: search, read and bulk export."`
	Search   searchCmd   `cmd:"" help:"Search a data directory; --explain shows the plan."`
	Remove   removeCmd   `cmd:"" help:"Remove resources from a data directory (works while it is being served)."`
	Check    checkCmd    `cmd:"" help:"Verify the integrity of a data directory (works while it is being served)."`
	Jobs     jobsCmd     `cmd:"" help:"List, show and cancel the exports of a directory (works while it is being served)."`
	Audit    auditCmd    `cmd:"" help:"Verify an audit log, or print its events."`
	Reindex  reindexCmd  `cmd:"" help:"Rebuild the search index, for example after an upgrade that changed search parameters."`
	Rebase   rebaseCmd   `cmd:"" help:"Move a directory to another public base URL."`
	Backup   backupCmd   `cmd:"" help:"Copy a data directory (works while it is being served)."`
	Adopt    adoptCmd    `cmd:"" help:"Make a directory the owner of its files folder, for example after a restore."`
	Demo     demoCmd     `cmd:"" help:"Generate a synthetic directory, serve it, and run one export step by step."`
	Version  versionCmd  `cmd:"" help:"Print the version of muster and of the guides that it implements."`
}

// app is the environment of a command. Tests replace it.
type app struct {
	ctx            context.Context
	stdin          io.Reader
	stdout, stderr io.Writer
}

// Exit codes. Scripts depend on them (docs/cli.md).
const (
	exitOK      = 0 // success
	exitFailed  = 1 // the command failed, or check has found problems
	exitUsage   = 2 // the command line or the configuration is invalid
	exitRefused = 3 // success, apart from input that was refused
)

// exitError is an error with an exit code.
type exitError struct {
	code int
	err  error
}

func (e exitError) Error() string { return e.err.Error() }
func (e exitError) Unwrap() error { return e.err }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the program at once
	if err := failpoint.ArmFromEnvironment(); err != nil {
		fmt.Fprintln(os.Stderr, "muster:", err)
		os.Exit(exitUsage)
	}
	code := run(app{ctx: ctx, stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr}, os.Args[1:])
	stop()
	os.Exit(code)
}

// onOneLine returns the text of an error on one line, also of joined errors, since
// scripts read the last line.
func onOneLine(err error) string {
	lines := strings.Split(err.Error(), "\n")
	for n := range lines {
		lines[n] = strings.TrimSpace(lines[n])
	}
	return strings.ReplaceAll(strings.Join(lines, "; "), ":; ", ": ")
}

// urlForm is the form of the URL of a database in messages.
const urlForm = "postgres://USER:PASSWORD@HOST:PORT/DATABASE"

// secretForms match what may hold a secret. The first group is kept.
var secretForms = []*regexp.Regexp{
	// the URL of a database up to the last @ after it, since a password may contain any character
	regexp.MustCompile(`(?s)(postgres(?:ql)?://)[^@]*:.*@\S*`),
	// any other URL with a user
	regexp.MustCompile(`([A-Za-z][A-Za-z0-9+.-]*://)[^\s]*@\S*`),
	// a parameter of a database, as pgx and libpq write it without a URL, or of a query
	regexp.MustCompile(`(?i)(\b(?:ssl)?password\s*=\s*|\b(?:access_)?token=)(?:'[^']*'|[^\s&"]+)`),
}

// withoutSecrets hides the URLs with a user, and passwords and tokens, in the text of an error.
// Errors about the command line repeat what is written there, also a URL in the wrong place.
func withoutSecrets(text string) string {
	const mark = "\x00"
	text = strings.ReplaceAll(text, urlForm, mark)
	for _, form := range secretForms {
		text = form.ReplaceAllString(text, "${1}…")
	}
	return strings.ReplaceAll(text, mark, urlForm)
}

// run parses the command line, runs the command and returns the exit code.
func run(a app, args []string) int {
	var c cli
	exited := -1
	parser, err := kong.New(&c, append(valueOptions(),
		kong.Name("muster"),
		kong.Description("A national healthcare provider directory (FHIR R4) with search and bulk export."),
		kong.Writers(a.stdout, a.stderr),
		kong.Exit(func(code int) { exited = code }),
		kong.DefaultEnvars(strings.TrimSuffix(variablePrefix, "_")),
		kong.Resolvers(environment{}),
		kong.Bind(a),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
	)...)
	if err != nil {
		fmt.Fprintln(a.stderr, "muster:", err)
		return exitUsage
	}
	warnOfVariables(a.stderr, parser.Model, os.Environ())
	if len(args) > 0 && args[0] == "help" {
		args = append(slices.Clone(args[1:]), "--help")
	}
	kctx, err := parser.Parse(args)
	if exited >= 0 {
		return exited
	}
	if err != nil {
		fmt.Fprintln(a.stderr, "muster:", withoutSecrets(err.Error()))
		fmt.Fprintln(a.stderr, "Run 'muster --help' or 'muster COMMAND --help' for usage.")
		return exitUsage
	}
	if err := kctx.Run(a); err != nil {
		fmt.Fprintln(a.stderr, "muster:", withoutSecrets(onOneLine(err)))
		var coded exitError
		if errors.As(err, &coded) {
			return coded.code
		}
		return exitFailed
	}
	return exitOK
}
