// Command deltas tests chained exports during writes.
//
//	go run ./bench/soak/deltas --rounds 500 --database sqlite --seed 42
//
// It prints the seed and the figures as Markdown rows for bench/RESULTS.md, and exits
// with code 1 when a promise is broken. See package soak.
package main

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"time"

	"muster/bench/soak"
	"muster/internal/testkit"
)

func main() {
	plan := soak.DeltasPlan{Batch: 60, Long: 2500}
	flag.IntVar(&plan.Rounds, "rounds", 500, "rounds of the main chain")
	flag.Uint64Var(&plan.Seed, "seed", rand.Uint64N(1_000_000), "seed of the schedule")
	database := flag.String("database", "sqlite", "database: sqlite or postgres")
	flag.Parse()
	fmt.Printf("deltas: --rounds %d --database %s --seed %d\n", plan.Rounds, *database, plan.Seed)
	soak.Main("deltas", func(ctx context.Context, program testkit.Program, dir string) error {
		postgres, err := soak.Database(*database)
		if err != nil {
			return err
		}
		env, err := soak.NewEnv(ctx, program, filepath.Join(dir, "env"), postgres)
		if err != nil {
			return err
		}
		start := time.Now()
		r, err := soak.Deltas(ctx, env, plan)
		if r.Main != nil {
			fmt.Printf("| chained rounds, %s, seed %d | %d, and %d of a second chain; %d of them began during a load; in %.0f s |\n",
				*database, plan.Seed, r.Main.Rounds, r.Second.Rounds, r.DuringLoad, time.Since(start).Seconds())
			fmt.Printf("| writes | %d versions by %d loads, %d removals |\n", r.Versions, r.Loads, r.Removed)
			fmt.Printf("| reads | %d lines; kick-off to manifest p50 %v, p99 %v |\n", r.Main.Lines+r.Second.Lines, soak.Quantile(r.Main.Took, 0.5), soak.Quantile(r.Main.Took, 0.99))
		}
		for _, w := range r.Warnings {
			fmt.Println("the server logged:", w)
		}
		if err != nil {
			return err
		}
		return env.Cleanup(ctx)
	})
}
