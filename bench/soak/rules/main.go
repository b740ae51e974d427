// Command rules compares directories with the model of package rulestest.
//
//	go run ./bench/soak/rules stores --sequences 20000 --database sqlite --seed 42
//	go run ./bench/soak/rules program --sequences 500 --kills 1000 --database sqlite --seed 42
//	go run ./bench/soak/rules days --scale 5 --days 30 --database sqlite --seed 42
//
// With stores it performs random sequences of 8 to 25 steps in stores of this process. After each
// step, reads, searches, includes, full exports, deltas, and a copy that chained deltas keep, must
// be as in the model. See package internal/rulestest/compare.
//
// With program it performs them by muster load and muster remove, and asks muster serve. Commands
// and servers are killed at random failpoints and at random times. After a killed command, clients
// must see all of each of its transactions or nothing of it. At the end muster check must find
// nothing.
//
// With days it loads a generated directory and its days of changes by the program. After each day a
// full export must hold the ids that the generator says are visible.
//
// At the first difference the command prints the seed and the sequence, and exits with code 1. With
// stores it prints the smallest sequence that still shows the difference. A directory of SQLite is
// in the folder for temporary files: name one in memory with TMPDIR to spare the disk.
package main

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"syscall"

	"muster/bench/soak"
)

// plan is what a run was asked for.
type plan struct {
	Sequences, Parallel int
	Kills               int // of processes
	Scale               float64
	Days                int
	Seed                uint64
	Postgres            string // URL of a database whose user may create databases; empty for SQLite
	Dir                 string // of the files of the run
	database            string
}

// runs are the kinds of runs.
var runs = map[string]func(context.Context, plan) error{"stores": stores, "program": program, "days": days}

func main() {
	p := plan{}
	flags := flag.NewFlagSet("rules", flag.ExitOnError)
	flags.IntVar(&p.Sequences, "sequences", 20_000, "number of random sequences")
	flags.IntVar(&p.Kills, "kills", 1000, "number of kills, with program")
	flags.Float64Var(&p.Scale, "scale", 5, "size of the directory, with days")
	flags.IntVar(&p.Days, "days", 30, "days of changes, with days")
	flags.IntVar(&p.Parallel, "parallel", 2, "directories at the same time")
	flags.Uint64Var(&p.Seed, "seed", rand.Uint64N(1_000_000), "seed of the sequences")
	flags.StringVar(&p.database, "database", "sqlite", "sqlite or postgres")
	if len(os.Args) < 2 || runs[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "rules: say what to run: stores, program or days")
		os.Exit(2)
	}
	kind := os.Args[1]
	_ = flags.Parse(os.Args[2:]) // exits after an error
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, kind, p)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "rules:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, kind string, p plan) (err error) {
	fmt.Printf("rules: %s --database %s --seed %d\n", kind, p.database, p.Seed)
	if p.Postgres, err = soak.Database(p.database); err != nil {
		return err
	}
	if p.Dir, err = os.MkdirTemp("", "muster-rules"); err != nil {
		return err
	}
	defer os.RemoveAll(p.Dir)
	return runs[kind](ctx, p)
}
