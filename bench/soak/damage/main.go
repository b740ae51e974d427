// Command damage damages copies of a directory, of its logs and of export files, and exports and downloads what
// is left. No export may be complete and wrong, beyond what damaged indexes can cause
// (docs/decisions/0022-damage.md).
//
//	go run ./bench/soak/damage                       1,000 copies, about half an hour
//	go run ./bench/soak/damage -program old-muster   with another build of the program
//
// The exit code is 1 when an export or a download was complete and wrong.
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
			fmt.Println(done, "copies")
		}
	}}
	program := flag.String("program", "", "path of a built muster; defaults to a build of this source")
	flag.IntVar(&plan.Copies, "copies", 1000, "number of damaged copies of the directory")
	flag.IntVar(&plan.Logs, "logs", 300, "number of damaged logs of the databases")
	flag.IntVar(&plan.Files, "files", 300, "number of damaged export files")
	flag.IntVar(&plan.Resources, "resources", 2000, "number of resources")
	flag.Uint64Var(&plan.Seed, "seed", 1, "seed of the damage")
	flag.Parse()
	if err := run(*program, plan); err != nil {
		fmt.Fprintln(os.Stderr, "damage:", err)
		os.Exit(1)
	}
}

func run(path string, plan soak.DamagePlan) error {
	return soak.WithProgram(path, func(program testkit.Program, dir string) error {
		r, err := soak.Damage(context.Background(), program, dir, plan)
		fmt.Printf("servers that did not start: %s\nexports: %s\ndownloads of damaged files: %s\n", soak.Counts(r.Starts), soak.Counts(r.Exports), soak.Counts(r.Files))
		for _, different := range r.Different {
			fmt.Println(different)
		}
		for _, wrong := range r.Wrong {
			fmt.Println("WRONG:", wrong)
		}
		if err == nil && len(r.Wrong) > 0 {
			err = fmt.Errorf("%d exports or downloads were complete and wrong", len(r.Wrong))
		}
		return err
	})
}
