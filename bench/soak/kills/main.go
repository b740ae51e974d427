// Command kills proves what is promised of crashes, by random kills.
//
//	go run ./bench/soak/kills --kills 1000 --database sqlite --seed 42
//
// It prints the seed and its figures as Markdown rows for bench/RESULTS.md, and ends with
// code 1 when a promise is broken. See package soak.
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
	flag.IntVar(&plan.Kills, "kills", 1000, "kills in all")
	flag.IntVar(&plan.Parallel, "parallel", 2, "episodes at a time")
	flag.Uint64Var(&plan.Seed, "seed", rand.Uint64N(1_000_000), "of the plan")
	database := flag.String("database", "sqlite", "sqlite or postgres")
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
		fmt.Printf("| files without an owner, or of deleted exports, gone after | p50 %v, max %v |\n", soak.Quantile(r.Orphans, 0.5), soak.Quantile(r.Orphans, 1))
		fmt.Printf("| stood still beyond their lease | %d servers |\n", r.Paused)
		fmt.Println("died at:", soak.Counts(r.Failpoints))
		fmt.Println("never at:", strings.Join(missed(r.Failpoints), ", "))
		for _, text := range slices.Sorted(maps.Keys(r.Warnings)) {
			fmt.Printf("logged %d times: %s\n", r.Warnings[text], text)
		}
		return err
	})
}

// missed are the fault points at which nothing has died.
func missed(places map[string]int) (names []string) {
	for _, p := range failpoint.All {
		if places[p.Name] == 0 {
			names = append(names, p.Name)
		}
	}
	return names
}
