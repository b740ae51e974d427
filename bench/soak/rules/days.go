package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"muster/bench/soak"
	"muster/internal/rulestest"
	"muster/internal/rulestest/compare"
	"muster/internal/testkit"
)

// days loads a generated directory and its days of changes, and compares what a full export holds
// after each with the ids that the generator says are visible.
func days(ctx context.Context, p plan) (err error) {
	built, err := testkit.Build(p.Dir)
	if err != nil {
		return err
	}
	start := time.Now()
	generated := filepath.Join(p.Dir, "au")
	if _, err := built.Run("generate", "--scale", fmt.Sprint(p.Scale), "--seed", fmt.Sprint(p.Seed), "--days", fmt.Sprint(p.Days), "--out", generated); err != nil {
		return err
	}
	env, err := soak.NewEnv(ctx, built, filepath.Join(p.Dir, "directory"), p.Postgres)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, env.Cleanup(context.WithoutCancel(ctx))) }()
	d := &directory{env: env, random: rand.New(rand.NewPCG(p.Seed, 0))}
	defer d.stop()
	visible := 0
	for day := range p.Days + 1 {
		name := fmt.Sprintf("d%03d", day)
		source := []string{"--base-url", rulestest.Base, generated}
		if day > 0 {
			source = []string{"--changes", filepath.Join(generated, "delta", name)}
		}
		if _, err := built.Run(d.at("load", source...)...); err != nil {
			return err
		}
		if visible, err = d.compareVisible(ctx, filepath.Join(generated, "truth", name, "visible.ids")); err != nil {
			return fmt.Errorf("after day %d: %w", day, err)
		}
		fmt.Printf("day %d: %d visible, %.0f s\n", day, visible, time.Since(start).Seconds())
	}
	d.stop()
	if _, err := built.Run(d.at("check")...); err != nil {
		return err
	}
	fmt.Printf("| visible ids = truth, %s, scale %g, seed %d | after each of %d days; %d visible at the end; %.0f s |\n",
		p.database, p.Scale, p.Seed, p.Days, visible, time.Since(start).Seconds())
	return nil
}

// compareVisible compares a full export with a file of ids, and returns how many they are.
func (d *directory) compareVisible(ctx context.Context, file string) (int, error) {
	truth, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	var filters, got []string
	for _, t := range rulestest.Types {
		filters = append(filters, t+"?_lastUpdated=ge1900-01-01")
	}
	result, err := d.Export(ctx, compare.Request{Filters: filters})
	if err != nil {
		return 0, err
	}
	for _, line := range result.Lines {
		document, err := rulestest.Parse(line)
		if err != nil {
			return 0, err
		}
		got = append(got, rulestest.NameOf(document).String())
	}
	want := strings.Fields(string(truth))
	slices.Sort(got)
	slices.Sort(want)
	if n := slices.IndexFunc(want, func(id string) bool { _, found := slices.BinarySearch(got, id); return !found }); n >= 0 {
		return 0, fmt.Errorf("%s is visible, but not in a full export of %d resources", want[n], len(got))
	}
	if n := slices.IndexFunc(got, func(id string) bool { _, found := slices.BinarySearch(want, id); return !found }); n >= 0 {
		return 0, fmt.Errorf("a full export holds %s, which is not visible", got[n])
	}
	if len(got) != len(want) {
		return 0, fmt.Errorf("a full export holds %d resources, want %d: some twice", len(got), len(want))
	}
	return len(got), nil
}
