// Command search measures searches: each query shape of the guide on one of the two
// databases, through the compiler and the store as the server uses them.
//
//	go run ./bench/search --database sqlite
//	go run ./bench/search --database postgres --url postgres://…/empty_database
//	go run ./bench/search --dir DIR --keep   keep the data; the next run with DIR has no need to load
//
// It makes a synthetic directory (scale 50 is a million resources), loads it, and asks
// each shape some hundred times, each time with other values. Values are drawn from
// resources, so a value that many have is drawn often: popular ones from those that
// make up the first half of all occurrences, rare ones from those that make up the
// last tenth. A page of 30 and a total exact to 1,000 are asked for apart, since a
// client wants both. Results are printed as a Markdown table for bench/RESULTS.md; the
// slowest query of each shape that misses the targets is printed for a look at it with
// muster search --explain.
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

// options say what is measured.
type options struct {
	database string
	url      string
	scale    string
	seed     uint64
	dir      string
	keep     bool
	asks     int
	best     int
	only     string
}

func main() {
	var o options
	flag.StringVar(&o.database, "database", "sqlite", "sqlite or postgres")
	flag.StringVar(&o.url, "url", os.Getenv("MUSTER_TEST_POSTGRES"), "of the PostgreSQL database, for postgres; empty, or kept by a run before")
	flag.StringVar(&o.scale, "scale", "50", "size of the directory, as for muster generate")
	flag.Uint64Var(&o.seed, "seed", 42, "of the directory and of the values that are asked for")
	flag.StringVar(&o.dir, "dir", "", "where the data goes; a temporary folder if empty")
	flag.BoolVar(&o.keep, "keep", false, "leave the data for another run")
	flag.IntVar(&o.asks, "asks", 300, "how often each shape is asked")
	flag.IntVar(&o.best, "best", 1, "take the best of so many times each question is asked, on a machine that does other things too")
	flag.StringVar(&o.only, "only", "", "ask only the shapes whose name contains this")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, o)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "search:", err)
		os.Exit(1)
	}
}

// run makes the directory, opens it, asks and prints.
func run(ctx context.Context, o options) (err error) {
	g, err := prepare(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, g.Close(context.WithoutCancel(ctx))) }()
	r := rand.New(rand.NewPCG(o.seed, 1))
	values, err := sample(g.source, r)
	if err != nil {
		return err
	}
	fmt.Printf("| shape | page p50 | page p99 | total p50 | total p99 |\n| --- | --- | --- | --- | --- |\n")
	for _, s := range shapes() {
		if !strings.Contains(s.name, o.only) {
			continue
		}
		m, err := g.measure(ctx, o, s, values, r)
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		fmt.Println(m.row())
		m.tellSlowest(os.Stderr)
	}
	return nil
}
