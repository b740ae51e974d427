// Command attack runs attackers against a real server with an honest client beside them,
// and checks that the honest client is served and that the server stays within its limits.
//
//	go run ./bench/soak/attack --list                      the scenarios
//	go run ./bench/soak/attack                             each scenario for one minute
//	go run ./bench/soak/attack --scenario searches,jobs --attackers 64
//	go run ./bench/soak/attack --all                       all together, for ten minutes
//	go run ./bench/soak/attack --database postgres --url postgres://…
//	go run ./bench/soak/attack -- --searches 2             options of muster serve
//
// Each attacker has an address of its own in 127.0.0.0/8, so it is a client of its own for
// the server. All traffic stays on this machine and ends with the run. Attackers, honest
// client and server share the processors of the machine, so the attackers pace what costs
// them as much as the server, and are a process of their own with a low priority.
//
// The promise: reads by id have a 99th percentile below 100 ms, an export of one resource
// takes less than 5 s from the kick-off to its file, every poll and every probe is answered,
// and searches are never blamed for the load of others. The server uses less than 512 MiB
// of memory, and no more descriptors, log and disk than its options say. A scenario adds
// promises of its own.
//
// The command prints Markdown rows for bench/RESULTS.md and exits with code 1 if a promise
// was broken. It reads /proc, so it runs on Linux only. See package soak.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"

	"muster/bench/soak"
	"muster/internal/testkit"
)

// options are the flags of the command.
type options struct {
	names     string
	all       bool
	list      bool
	attackers int
	duration  time.Duration
	database  string
	url       string
	scale     string
	size      float64
	seed      uint64
	serve     []string // options of muster serve
	nice      int      // priority of the attackers
}

func main() {
	if is, err := runCrew(); is {
		if err != nil {
			fmt.Fprintln(os.Stderr, "attackers:", err)
			os.Exit(1)
		}
		return
	}
	var o options
	flag.StringVar(&o.names, "scenario", "", "names of scenarios, separated by commas; defaults to each, one after the other")
	flag.BoolVar(&o.all, "all", false, "run the scenarios together against one server, except those that need a server of their own")
	flag.BoolVar(&o.list, "list", false, "list the scenarios and exit")
	flag.IntVar(&o.attackers, "attackers", 8, "attacking addresses, from 1 to 64; with --all, each one attacks in all ways")
	flag.DurationVar(&o.duration, "duration", 0, "duration of a run; defaults to 1m, and to 10m with --all")
	flag.StringVar(&o.database, "database", "sqlite", "database: sqlite or postgres")
	flag.StringVar(&o.url, "url", "", "URL of a PostgreSQL database whose user may create databases; defaults to MUSTER_TEST_POSTGRES")
	flag.StringVar(&o.scale, "scale", "1", "size of the directory, as for muster generate")
	flag.Float64Var(&o.size, "size", 1, "share of the connections and of the pace of a scenario")
	flag.Uint64Var(&o.seed, "seed", rand.Uint64N(1_000_000), "seed of the choices of the clients")
	flag.Parse()
	o.serve, o.nice = flag.Args(), lowPriority
	if o.list {
		for _, s := range scenarios {
			fmt.Printf("%-17s %s\n", s.name, s.about)
		}
		return
	}
	if err := o.check(); err != nil {
		fmt.Fprintln(os.Stderr, "attack:", err)
		os.Exit(2)
	}
	soak.Main("attack", func(ctx context.Context, program testkit.Program, dir string) error { return run(ctx, program, dir, o) })
}

// check checks the options and completes them.
func (o *options) check() error {
	if o.attackers < 1 || o.attackers > 64 {
		return errors.New("--attackers: give a number from 1 to 64")
	}
	if o.size <= 0 {
		return errors.New("--size: give a number above 0, such as 0.5")
	}
	if o.duration == 0 {
		o.duration = time.Minute
		if o.all {
			o.duration = 10 * time.Minute
		}
	}
	if o.database != "postgres" {
		o.url = ""
	}
	if o.database != "postgres" || o.url == "" {
		url, err := soak.Database(o.database)
		if err != nil {
			return err
		}
		o.url = url
	}
	_, err := o.fights()
	return err
}

// fight is one run against one server.
type fight struct {
	name      string
	scenarios []scenario
}

// fights returns the runs that the options ask for.
func (o *options) fights() (all []fight, err error) {
	chosen := scenarios
	if o.names != "" {
		chosen = nil
		for name := range strings.SplitSeq(o.names, ",") {
			s, ok := scenarioByName(name)
			if !ok {
				return nil, fmt.Errorf("--scenario %s: no such scenario: --list names them", name)
			}
			chosen = append(chosen, s)
		}
	}
	together := fight{name: "all"}
	for _, s := range chosen {
		if !s.alone {
			together.scenarios = append(together.scenarios, s)
		}
		all = append(all, fight{s.name, []scenario{s}})
	}
	if o.all {
		return []fight{together}, nil
	}
	return all, nil
}

// run runs the fights one after the other, each on a fresh copy of one directory.
func run(ctx context.Context, program testkit.Program, dir string, o options) (err error) {
	directory, err := newDirectory(ctx, program, dir, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, directory.Cleanup(context.WithoutCancel(ctx))) }()
	fights, err := o.fights()
	if err != nil {
		return err
	}
	fmt.Printf("attack: %s, scale %s, %d attackers, %v, seed %d\n\n", o.database, o.scale, o.attackers, o.duration, o.seed)
	fmt.Print(heading)
	var broken []string
	for _, f := range fights {
		r, err := directory.fight(ctx, f, o)
		if err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
		fmt.Println(r.row())
		for _, b := range r.broken {
			broken = append(broken, f.name+": "+b)
		}
	}
	if len(broken) > 0 {
		return fmt.Errorf("%d broken promises:\n  %s", len(broken), strings.Join(broken, "\n  "))
	}
	return nil
}

// directory is a loaded directory, of which each fight gets a copy.
type directory struct {
	*soak.Env
	dir    string // of all files of the run
	source string // the generated NDJSON
}

// newDirectory generates and loads the directory.
func newDirectory(ctx context.Context, program testkit.Program, dir string, o options) (_ *directory, err error) {
	env, err := soak.NewEnv(ctx, program, filepath.Join(dir, "directory"), o.url)
	if err != nil {
		return nil, err
	}
	d := &directory{Env: env, dir: dir, source: filepath.Join(dir, "source")}
	if _, err := program.Run("generate", "--scale", o.scale, "--seed", "42", "--out", d.source); err != nil {
		return nil, errors.Join(err, d.Cleanup(ctx))
	}
	if err := env.LoadFiles(d.source); err != nil {
		return nil, errors.Join(err, d.Cleanup(ctx))
	}
	return d, nil
}

// Cleanup removes the directory and its source.
func (d *directory) Cleanup(ctx context.Context) error {
	return errors.Join(d.Env.Cleanup(ctx), os.RemoveAll(d.source))
}

// fight serves a copy of the directory, and runs the honest client and the attackers. It
// keeps the log of the server if a promise was broken.
func (d *directory) fight(ctx context.Context, f fight, o options) (r *report, err error) {
	env, err := d.Clone(ctx, filepath.Join(d.dir, f.name))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, env.Cleanup(context.WithoutCancel(ctx))) }()
	s, err := newStage(ctx, env, d.source, f.scenarios, o)
	if err != nil {
		return nil, err
	}
	defer s.stop()
	if r, err = s.run(ctx, f, o); err != nil {
		return nil, fmt.Errorf("%w\n%s", err, tail(s.server.Log()))
	}
	if len(r.broken) > 0 {
		err = os.WriteFile(filepath.Join(d.dir, f.name+".log"), []byte(s.server.Log()), 0o600)
	}
	return r, err
}

func tail(text string) string { return text[max(0, len(text)-2000):] }
