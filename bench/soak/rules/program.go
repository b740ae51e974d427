package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"

	"muster/bench/soak"
	"muster/internal/rulestest"
	"muster/internal/rulestest/compare"
	"muster/internal/testkit"

	"golang.org/x/sync/errgroup"
)

// perDirectory is how many sequences are performed at once in a directory of the program. More
// would leave fewer loads and exports that can be killed.
const perDirectory = 25

// program compares sequences in directories of the program, while its processes are killed.
func program(ctx context.Context, p plan) error {
	built, err := testkit.Build(p.Dir)
	if err != nil {
		return err
	}
	progress := newProgress(p.Sequences)
	kills := &kills{counts: map[string]int{}}
	workers, ctx := errgroup.WithContext(ctx)
	workers.SetLimit(p.Parallel)
	groups := (compare.Draw{Seed: p.Seed, Sequences: p.Sequences}).Groups(perDirectory)
	for n, group := range groups {
		workers.Go(func() error {
			share := (n+1)*p.Kills/len(groups) - n*p.Kills/len(groups)
			counts, err := inProgram(ctx, built, filepath.Join(p.Dir, fmt.Sprint(n)), p.Postgres, group, kills, share)
			if err == nil {
				progress.add(counts)
			}
			return err
		})
	}
	if err := workers.Wait(); err != nil {
		return err
	}
	progress.print(fmt.Sprintf("by the program, %s, %d kills, seed %d", p.database, kills.total(), p.Seed))
	fmt.Printf("%d of %d kills: %s\n", kills.total(), p.Kills, soak.Counts(kills.counts))
	return nil
}

// inProgram compares the sequences of a group in a directory of its own, and verifies the directory
// at the end.
func inProgram(ctx context.Context, built testkit.Program, dir, postgres string, group compare.Draw, kills *kills, share int) (_ compare.Counts, err error) {
	env, err := soak.NewEnv(ctx, built, dir, postgres)
	if err != nil {
		return compare.Counts{}, err
	}
	defer func() { err = errors.Join(err, env.Cleanup(context.WithoutCancel(ctx))) }()
	share = kills.take(share)
	d := &directory{env: env, kills: kills, commands: share / 2, servers: share - share/2, random: rand.New(rand.NewPCG(group.Seed, 2<<62|uint64(group.First)))}
	defer func() { kills.leave(d.commands + d.servers) }()
	defer d.stop()
	if err := d.create(); err != nil {
		return compare.Counts{}, err
	}
	counts, failure, err := compare.Random(ctx, d, group)
	if err != nil {
		return counts, err
	}
	if failure != nil {
		return counts, fmt.Errorf("the directory and the model differ: %v\nend of the log of the server:\n%s", failure, d.log())
	}
	d.stop()
	_, err = env.Program.Run(d.at("check")...)
	return counts, err
}

// create creates the directory. The resource that it holds is not one of the model.
func (d *directory) create() error {
	file, err := d.write("first.ndjson", rulestest.Source(rulestest.Object{"resourceType": "Organization", "id": "first", "name": "First"}))
	if err != nil {
		return err
	}
	_, err = d.env.Program.Run(d.at("load", "--base-url", rulestest.Base, file)...)
	return err
}
