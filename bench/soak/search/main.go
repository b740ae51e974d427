// Command search compares the search engine with the reference evaluator, for many random
// queries of many small random directories in real stores.
//
//	go run ./bench/soak/search --cases 100000 --database sqlite --seed 42
//	go run ./bench/soak/search --cases 100000 --database postgres --url postgres://…
//
// Each query runs as an export, as a search and as an export with _since; with --http it
// also runs over HTTP, page by page. All must find what the evaluator finds. The command
// prints the coverage of the queries and a Markdown row for bench/RESULTS.md. At the first
// difference it prints the smallest directory and query that still show it, and exits with
// code 1. See packages searchtest and compare.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"time"

	"muster/internal/blob"
	"muster/internal/conformance"
	"muster/internal/search/index"
	"muster/internal/searchtest/compare"
)

func main() {
	cases := flag.Int("cases", 100_000, "number of queries")
	seed := flag.Uint64("seed", rand.Uint64N(1_000_000), "seed of the directories and queries")
	database := flag.String("database", "sqlite", "sqlite or postgres")
	url := flag.String("url", os.Getenv("MUSTER_TEST_POSTGRES"), "URL of an empty PostgreSQL database, for postgres")
	http := flag.Bool("http", false, "also run searches over HTTP, page by page")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, *cases, *seed, *database, *url, *http)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "search:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, cases int, seed uint64, database, url string, http bool) (err error) {
	fmt.Printf("search: --cases %d --seed %d --database %s\n", cases, seed, database)
	reg, err := conformance.Load()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "muster-search")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	c := compare.Config{Registry: reg, Zone: index.Zone()}
	if c.New, err = newStores(reg, database, url, dir); err != nil {
		return err
	}
	if http {
		blobs, err := blob.NewFolder(filepath.Join(dir, "blobs"))
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, blobs.Close()) }()
		c.Blobs = blobs
	}
	start := time.Now()
	coverage, failure, err := c.Run(ctx, seed, cases, func(done int) {
		if done%10_000 == 0 {
			fmt.Printf("%d of %d, %.0f s\n", done, cases, time.Since(start).Seconds())
		}
	})
	if err != nil {
		return err
	}
	if failure != nil {
		smallest, err := c.Shrink(ctx, *failure)
		return errors.Join(fmt.Errorf("the engine and the evaluator differ\n%v", smallest), err)
	}
	fmt.Println(&coverage)
	if http {
		database += " and HTTP"
	}
	fmt.Printf("| random queries, engine = evaluator, %s, seed %d | %d, no differences; %d find nothing, %d are refused; %d forms of criteria; %.0f s |\n",
		database, seed, coverage.Queries, coverage.Empty, coverage.Refused, len(coverage.Shapes), time.Since(start).Seconds())
	if gap := coverage.Gap(); gap != "" {
		return fmt.Errorf("insufficient coverage: %s", gap)
	}
	return nil
}
