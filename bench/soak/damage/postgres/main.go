// Command postgres damages pages of a PostgreSQL server of its own, and exports what is left, as
// bench/soak/damage does with SQLite.
//
//	go run ./bench/soak/damage/postgres               400 rounds, about twenty minutes
//	go run ./bench/soak/damage/postgres -checksums    with checksums of pages
//
// The exit code is 1 when an export was complete and wrong.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"

	"muster/bench/soak"
	"muster/internal/testkit"
)

func main() {
	plan := soak.DamagePlan{Progress: func(done int) {
		if done%100 == 0 {
			fmt.Println(done, "rounds")
		}
	}}
	program := flag.String("program", "", "path of a built muster; defaults to a build of this source")
	checksums := flag.Bool("checksums", false, "checksums of pages (initdb --data-checksums)")
	flag.IntVar(&plan.Copies, "rounds", 400, "number of rounds")
	flag.IntVar(&plan.Resources, "resources", 2000, "number of resources")
	flag.Uint64Var(&plan.Seed, "seed", 1, "seed of the damage")
	flag.Parse()
	if err := run(*program, plan, *checksums); err != nil {
		fmt.Fprintln(os.Stderr, "damage:", err)
		os.Exit(1)
	}
}

func run(path string, plan soak.DamagePlan, checksums bool) error {
	return soak.WithProgram(path, func(program testkit.Program, dir string) error {
		r, err := soak.DamagePostgres(context.Background(), program, dir, plan, checksums)
		fmt.Printf("servers that did not start: %s\nexports: %s\n", soak.Counts(r.Starts), soak.Counts(r.Exports))
		for _, wrong := range r.Wrong {
			fmt.Println("WRONG:", wrong)
		}
		if err == nil && len(r.Wrong) > 0 {
			err = fmt.Errorf("%d exports were complete and wrong", len(r.Wrong))
		}
		return err
	})
}
