// Command cascade measures what inherited states cost: the load of a directory, a cascade over the
// dependants of one organisation, and a delta.
//
//	go run ./bench/cascade load       a load with cascades against one without
//	go run ./bench/cascade cascade    a cascade over 20,000 dependants, and an export meanwhile
//	go run ./bench/cascade delta      an export of 10,000 changes by _since, and of Example 1 with its membership
//	go run ./bench/cascade --url postgres://…/database cascade    on PostgreSQL
//
// Each measurement runs several times, and its median is printed as a Markdown row for
// bench/RESULTS.md. Beside it is a limit that is measured in the same run, and the ratio of the
// two: CPU time and ratios depend little on the other load of the machine, wall-clock times do. CPU
// time is that of all processes of muster and of their PostgreSQL sessions, read from /proc, so the
// program needs Linux, and PostgreSQL on the same machine.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"

	"muster/bench/soak"
	"muster/internal/conformance"
	"muster/internal/testkit"
)

// options configure a measurement.
type options struct {
	url        string
	dir        string
	scale      string
	dependants int
	changes    int
	rounds     int
	profile    string
}

func main() {
	var o options
	flag.StringVar(&o.url, "url", "", "URL of a PostgreSQL database whose user may create databases; SQLite if empty")
	flag.StringVar(&o.dir, "dir", "", "parent of the temporary folder for the data; defaults to that of the system")
	flag.StringVar(&o.scale, "scale", "", "size of the directory, as for muster generate; defaults to 10 (load) or 50 (delta)")
	flag.IntVar(&o.dependants, "dependants", 20_000, "resources that belong to the organisation, for cascade")
	flag.IntVar(&o.changes, "changes", 10_000, "resources that change, for delta")
	flag.IntVar(&o.rounds, "rounds", 3, "how often each measurement runs")
	flag.StringVar(&o.profile, "cpuprofile", "", "write a CPU profile of this process, which loads, to the file")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, o, flag.Arg(0))
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "cascade:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options, what string) (err error) {
	measure, ok := map[string]func(*bench, context.Context) error{
		"load": (*bench).load, "cascade": (*bench).cascade, "delta": (*bench).delta,
	}[what]
	switch {
	case !ok:
		return fmt.Errorf("unknown measurement %q: use load, cascade or delta", what)
	case o.rounds < 1:
		return errors.New("--rounds is less than 1")
	}
	dir, err := os.MkdirTemp(o.dir, "muster-bench")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	program, err := testkit.Build(dir)
	if err != nil {
		return err
	}
	registry, err := conformance.Load()
	if err != nil {
		return err
	}
	env, err := soak.NewEnv(ctx, program, filepath.Join(dir, "env"), o.url)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, env.Cleanup(context.WithoutCancel(ctx))) }()
	profiled, err := startProfile(o.profile)
	if err != nil {
		return err
	}
	b := &bench{options: o, env: env, registry: registry, dir: dir}
	return errors.Join(measure(b, ctx), profiled())
}

// bench measures in one environment.
type bench struct {
	options
	env      *soak.Env
	registry *conformance.Registry
	dir      string // of the sources
}

// database returns the name of the database, for rows.
func (b *bench) database() string {
	if b.url != "" {
		return "PostgreSQL"
	}
	return "SQLite"
}

// generate writes a synthetic directory and returns its folder.
func (b *bench) generate(scale string) (string, error) {
	source := filepath.Join(b.dir, "source")
	_, err := b.env.Program.Run("generate", "--scale", scale, "--out", source)
	return source, err
}
