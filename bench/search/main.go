// Command search measures the latency of searches on one of the two databases, through the
// compiler and the store that the server uses. A shape is a combination of parameters that
// the HCPD guide describes, such as a chain or two tokens; shapes.go lists them.
//
//	go run ./bench/search --database sqlite
//	go run ./bench/search --database postgres --url postgres://…/empty_database
//	go run ./bench/search --dir DIR --keep   keep the data, so that the next run with DIR does not load it
//
// It generates a synthetic directory (scale 50 is a million resources), loads it, and runs
// each shape several hundred times with different values of the data. Values are ordered by
// how often they occur. Popular values are those that make up the first half of all
// occurrences, rare values those that make up the last tenth; both are drawn in proportion
// to their frequency. A page of 30 matches and a total up to 1,000 are timed separately.
// The results are printed as a Markdown table for bench/RESULTS.md. A target is a p50 below
// 1 ms and a p99 below 10 ms. For each shape that misses a target, the slowest query is
// printed, as an argument for muster search --explain.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"strings"
)

// options configure the benchmark.
type options struct {
	database string
	url      string
	scale    string
	seed     uint64
	dir      string
	keep     bool
	queries  int
	best     int
	only     string
}

func main() {
	var o options
	flag.StringVar(&o.database, "database", "sqlite", "sqlite or postgres")
	flag.StringVar(&o.url, "url", os.Getenv("MUSTER_TEST_POSTGRES"), "URL of the PostgreSQL database, for postgres; it must be empty or kept from an earlier run")
	flag.StringVar(&o.scale, "scale", "50", "size of the directory, as for muster generate")
	flag.Uint64Var(&o.seed, "seed", 42, "seed of the directory and of the sampled values")
	flag.StringVar(&o.dir, "dir", "", "folder for the data; a temporary folder if empty")
	flag.BoolVar(&o.keep, "keep", false, "keep the data for another run")
	flag.IntVar(&o.queries, "queries", 300, "number of queries for each shape")
	flag.IntVar(&o.best, "best", 1, "run each query this many times and use the fastest, for a machine with other load")
	flag.StringVar(&o.only, "only", "", "measure only shapes whose name contains this text")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, o)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "search:", err)
		os.Exit(1)
	}
}

// run prepares the directory, measures all shapes and prints the results.
func run(ctx context.Context, o options) (err error) {
	e, err := prepare(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.Close(context.WithoutCancel(ctx))) }()
	r := rand.New(rand.NewPCG(o.seed, 1))
	values, err := sample(e.source, r)
	if err != nil {
		return err
	}
	fmt.Printf("| shape | page p50 | page p99 | total p50 | total p99 |\n| --- | --- | --- | --- | --- |\n")
	for _, s := range shapes() {
		if !strings.Contains(s.name, o.only) {
			continue
		}
		m, err := e.measure(ctx, o, s, values, r)
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		fmt.Println(m.row())
		m.printSlowest(os.Stderr)
	}
	return nil
}
