// Command kills tests the promises about crashes with random kills.
//
//	go run ./bench/soak/kills --kills 1000 --database sqlite --seed 42
//
// It prints the seed and the figures as Markdown rows for bench/RESULTS.md, and exits
// with code 1 when a promise is broken. See package soak.
package main

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"muster/bench/soak"
	"muster/internal/failpoint"
	"muster/internal/testkit"
)

func main() {
	plan := soak.KillsPlan{ScenarioKills: 25}
	flag.IntVar(&plan.Kills, "kills", 1000, "total number of kills")
	flag.IntVar(&plan.Parallel, "parallel", 2, "scenarios that run at the same time")
	flag.Uint64Var(&plan.Seed, "seed", rand.Uint64N(1_000_000), "seed of the schedule")
	database := flag.String("database", "sqlite", "database: sqlite or postgres")
	flag.Parse()
	fmt.Printf("kills: --kills %d --database %s --seed %d\n", plan.Kills, *database, plan.Seed)
	soak.Main("kills", func(ctx context.Context, program testkit.Program, dir string) error {
		var err error
		if plan.Postgres, err = soak.Database(*database); err != nil {
			return err
		}
		start := time.Now()
		r, err := soak.Kills(ctx, program, dir, plan)
		fmt.Printf("| kills, %s, seed %d | %d in %.0f s: %s |\n", *database, plan.Seed, soak.Total(r.Kills), time.Since(start).Seconds(), soak.Counts(r.Kills))
		fmt.Printf("| exports | %d: %s |\n", soak.Total(r.Outcomes), soak.Counts(r.Outcomes))
		fmt.Printf("| loads | %s |\n", soak.Counts(r.Loads))
		fmt.Printf("| files without a job, or of deleted exports, removed after | p50 %v, max %v |\n", soak.Quantile(r.Orphans, 0.5), soak.Quantile(r.Orphans, 1))
		fmt.Printf("| paused for longer than their lease | %d servers |\n", r.Paused)
		fmt.Println("crashed at:", soak.Counts(r.Failpoints))
		fmt.Println("never crashed at:", strings.Join(missed(r.Failpoints), ", "))
		for _, text := range slices.Sorted(maps.Keys(r.Warnings)) {
			fmt.Printf("logged %d times: %s\n", r.Warnings[text], text)
		}
		return err
	})
}

// missed returns the failpoints at which no process has crashed.
func missed(crashes map[string]int) (names []string) {
	for _, p := range failpoint.All {
		if crashes[p.Name] == 0 {
			names = append(names, p.Name)
		}
	}
	return names
}
