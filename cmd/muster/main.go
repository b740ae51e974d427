// Command muster serves a national healthcare provider directory with
// asynchronous bulk export, and keeps local copies of such directories in sync.
//
// Each subcommand lives in the file of its name: a struct whose fields are the
// options, and a Run method.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"muster/internal/failpoint"

	"github.com/alecthomas/kong"
)

// cli lists the subcommands and the options they share.
type cli struct {
	Config      kong.ConfigFlag  `help:"Read options from this YAML file." placeholder:"FILE"`
	ShowVersion kong.VersionFlag `name:"version" env:"-" help:"Print the version, like the command version."`

	Generate generateCmd `cmd:"" help:"Write a synthetic Australia as NDJSON files."`
	Report   reportCmd   `cmd:"" help:"Describe a directory in numbers and pictures."`
	Load     loadCmd     `cmd:"" help:"Load resources into a data directory."`
	Serve    serveCmd    `cmd:"" help:"Serve a directory over HTTP: search, read and bulk export."`
	Search   searchCmd   `cmd:"" help:"Search a data directory, and explain how."`
	Check    checkCmd    `cmd:"" help:"Look whether a data directory is whole, served or not."`
	Reindex  reindexCmd  `cmd:"" help:"Make the index of a data directory anew, after an update that changed search parameters."`
	Backup   backupCmd   `cmd:"" help:"Copy a data directory, served or not."`
	Adopt    adoptCmd    `cmd:"" help:"Make a folder of export files that of a directory which was restored or has lost its exports."`
	Demo     demoCmd     `cmd:"" help:"Make a synthetic directory, serve it, and run one export step by step."`
	Version  versionCmd  `cmd:"" help:"Print the version of muster and of the guides it serves."`
}

// app is what a command may use of its surroundings. Tests hand in their own.
type app struct {
	ctx            context.Context
	stdin          io.Reader
	stdout, stderr io.Writer
}

// Exit codes, a contract with scripts (docs/cli.md).
const (
	exitOK      = 0 // everything asked for was done
	exitFailed  = 1 // the command could not do its work
	exitUsage   = 2 // the command line or the configuration is wrong
	exitRefused = 3 // the work is done, but some of the input was refused
)

// exitError is an error that chooses its own exit code.
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

// onOneLine is the text of an error on one line, whatever was joined in it: scripts read
// the last line.
func onOneLine(err error) string {
	lines := strings.Split(err.Error(), "\n")
	for n := range lines {
		lines[n] = strings.TrimSpace(lines[n])
	}
	return strings.ReplaceAll(strings.Join(lines, "; "), ":; ", ": ")
}

// run parses the command line, runs the command and returns the exit code.
func run(a app, args []string) int {
	var c cli
	exited := -1
	parser, err := kong.New(&c,
		kong.Name("muster"),
		kong.Description("A national healthcare provider directory (FHIR R4): serve it, export it, keep copies of it."),
		kong.Writers(a.stdout, a.stderr),
		kong.Exit(func(code int) { exited = code }),
		flagVars(),
		kong.DefaultEnvars("MUSTER"),
		kong.Configuration(readConfig),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
	)
	if err != nil {
		fmt.Fprintln(a.stderr, "muster:", err)
		return exitUsage
	}
	kctx, err := parser.Parse(args)
	if exited >= 0 {
		return exited
	}
	if err != nil {
		fmt.Fprintln(a.stderr, "muster:", err)
		fmt.Fprintln(a.stderr, "Run 'muster --help', or 'muster COMMAND --help', for what is possible.")
		return exitUsage
	}
	if err := kctx.Run(a); err != nil {
		fmt.Fprintln(a.stderr, "muster:", onOneLine(err))
		var coded exitError
		if errors.As(err, &coded) {
			return coded.code
		}
		return exitFailed
	}
	return exitOK
}
