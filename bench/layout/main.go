// Command layout measures how to lay out the search index of the embedded store: covering tables with one row per index entry
// (--layout a: system and code as text; as: the system as an integer; ad: tokens and strings from a dictionary of values;
// ap: as "as", tokens only value-first)
// against bitmaps of rows (b). It generates a provider directory with about 17 index entries per resource, loads it, and
// prints load speed, file size, the time of each query shape and the cost of live batches and single updates.
//
//	go run ./bench/layout --rows 1000000 --layout ap
//
// Numbers and the choice made from them: docs/decisions/0003-index-layout.md.
package main

import (
	"database/sql"
	"flag"
	"fmt"
	"log"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"text/tabwriter"
	"time"
)

// layout is what every candidate can do. Keys come once each and in row key order, except that near only promises a set.
type layout interface {
	load(g *generator, after bool) error
	append(batch []row) error
	update(w row) error
	page(q question, limit int) ([]int64, error)
	total(q question, limit int) (int, error)
}

func main() {
	rows := flag.Int("rows", 1_000_000, "resources to generate")
	dir := flag.String("dir", "", "folder for the database (default: a new temporary folder, removed at the end)")
	name := flag.String("layout", "ap", "a, as, ad, ap or b")
	after := flag.Bool("after", true, "first load: write indexes after the rows, not batch by batch")
	flag.IntVar(&typeBits, "type-bits", 28, "position of the type in a row key; b needs 28")
	rounds := flag.Int("rounds", 2, "times each query shape is measured")
	flag.Parse()
	if err := run(*rows, *dir, *name, *after, *rounds); err != nil {
		log.Fatal(err)
	}
}

func run(rows int, dir, name string, after bool, rounds int) error {
	if dir == "" {
		made, err := os.MkdirTemp("", "layout")
		if err != nil {
			return err
		}
		defer os.RemoveAll(made)
		dir = made
	}
	path := filepath.Join(dir, name+".db")
	if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
		return err
	}
	g := newGenerator(rows)
	out := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	defer out.Flush()
	fmt.Fprintf(out, "layout %s, %d rows, index after rows: %v, type bits %d\n", name, rows, after, typeBits)
	l, db, err := open(path, name, "journal_mode(off)")
	if err != nil {
		return err
	}
	if err := measureLoad(out, l, db, g, after); err != nil {
		return err
	}
	if err := db.Close(); err != nil {
		return err
	}
	if l, db, err = open(path, name, "journal_mode(wal)"); err != nil {
		return err
	}
	defer db.Close()
	if t, ok := l.(*tables); ok {
		t.next = 1 << 40 // new values of live batches, away from those of the load
	}
	if err := reportSizes(out, db, path); err != nil {
		return err
	}
	for range rounds {
		if err := measureQueries(out, l, db, g); err != nil {
			return err
		}
		out.Flush()
	}
	return measureWrites(out, l, g)
}

func open(path, name, journal string) (layout, *sql.DB, error) {
	sync := "normal"
	if journal == "journal_mode(off)" {
		sync = "off"
	}
	db, err := sql.Open("sqlite", fmt.Sprintf("file:%s?_pragma=%s&_pragma=synchronous(%s)&_pragma=cache_size(-65536)", path, journal, sync))
	if err != nil {
		return nil, nil, err
	}
	db.SetMaxOpenConns(1)
	switch name {
	case "a", "as", "ad", "ap":
		return &tables{db: db, variant: name}, db, nil
	case "b":
		return &bitmaps{db: db}, db, nil
	}
	return nil, nil, fmt.Errorf("layout %q is not known: use a, as, ad, ap or b", name)
}

func measureLoad(out *tabwriter.Writer, l layout, db *sql.DB, g *generator, after bool) error {
	start := time.Now()
	entries, n := 0, 0
	for batch := range g.batches(5000) {
		n += len(batch)
		for _, w := range batch {
			entries += len(w.entries)
		}
	}
	fmt.Fprintf(out, "generate only\t%.1f s\t%.1f entries per row\t\n", time.Since(start).Seconds(), float64(entries)/float64(n))
	start, before := time.Now(), cpuTime()
	if err := execAll(db, resourceDDL...); err != nil {
		return err
	}
	if err := l.load(g, after); err != nil {
		return err
	}
	// No ANALYZE: its statistics make SQLite skip-scan past a bound parameter (a fixed join of ap took 8 ms instead of 0.1).
	if err := execAll(db, resourceIndex); err != nil {
		return err
	}
	took := time.Since(start)
	fmt.Fprintf(out, "load\t%.1f s\t%.0f resources/s\t%s\t\n", took.Seconds(), float64(n)/took.Seconds(), cpuPer(before, n))
	return out.Flush()
}

func reportSizes(out *tabwriter.Writer, db *sql.DB, path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "file\t%.0f MB\t\n", float64(info.Size())/1e6)
	rows, err := db.Query("SELECT name, sum(pgsize) FROM dbstat GROUP BY name ORDER BY 2 DESC")
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		var size float64
		if err := rows.Scan(&name, &size); err != nil {
			return err
		}
		if size > 1e5 {
			fmt.Fprintf(out, "  %s\t%.1f MB\t\n", name, size/1e6)
		}
	}
	return rows.Err()
}

func measureQueries(out *tabwriter.Writer, l layout, db *sql.DB, g *generator) error {
	const questions = 300
	fmt.Fprintf(out, "shape\tpage p50 ms\tp99\ttotal<=1000 p50\tp99\trows (mean of totals)\t\n")
	for _, s := range shapes {
		r := rand.New(rand.NewPCG(9, 9))
		var pages, totals []time.Duration
		found := 0
		for range questions {
			q := s.ask(g, r)
			start := time.Now()
			if _, err := l.page(q, 30); err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
			pages = append(pages, time.Since(start))
			start = time.Now()
			n, err := l.total(q, 1001)
			if err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
			totals = append(totals, time.Since(start))
			found += n
		}
		fmt.Fprintf(out, "%s\t%s\t%s\t%s\t%s\t%.1f\t\n", s.name, quantile(pages, 50), quantile(pages, 99), quantile(totals, 50), quantile(totals, 99), float64(found)/questions)
	}
	start := time.Now()
	keys, err := l.page(selection, 0)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "full selection\t%s ms\t%d keys\t\n", quantile([]time.Duration{time.Since(start)}, 50), len(keys))
	if !slices.IsSorted(keys) {
		return fmt.Errorf("full selection: keys are not in order")
	}
	return readDocuments(out, db, keys[:min(30, len(keys))])
}

func readDocuments(out *tabwriter.Writer, db *sql.DB, keys []int64) error {
	start := time.Now()
	args := make([]any, len(keys))
	for i, k := range keys {
		args[i] = k
	}
	rows, err := db.Query("SELECT body FROM doc WHERE row_key IN "+marks(1, len(args)), args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var body []byte
		if err := rows.Scan(&body); err != nil {
			return err
		}
	}
	fmt.Fprintf(out, "30 documents\t%s ms\t\n", quantile([]time.Duration{time.Since(start)}, 50))
	return rows.Err()
}

// measureWrites loads 5 % more rows in batches, then updates single rows, each in a transaction of its own.
func measureWrites(out *tabwriter.Writer, l layout, g *generator) error {
	const size = 1000
	var took []time.Duration
	r := rand.New(rand.NewPCG(3, 3))
	start, before, n := time.Now(), cpuTime(), 0
	for b := range max(1, g.total/20/size) {
		var batch []row
		for t := range types {
			for i := range size * share[t] / 100 {
				batch = append(batch, g.make(t, g.count[t]+b*(size*share[t]/100)+i, 0))
			}
		}
		at := time.Now()
		if err := l.append(batch); err != nil {
			return fmt.Errorf("live batch: %w", err)
		}
		took = append(took, time.Since(at))
		n += len(batch)
	}
	fmt.Fprintf(out, "live batches of %d\t%.0f resources/s\tbatch p50 %s ms, p99 %s ms\t%s\t\n", size, float64(n)/time.Since(start).Seconds(), quantile(took, 50), quantile(took, 99), cpuPer(before, n))
	took = nil
	for i := range 2000 {
		t := []int{practitioner, role, role, location}[i%4]
		w := g.make(t, r.IntN(g.count[t]), 1+i)
		at := time.Now()
		if err := l.update(w); err != nil {
			return fmt.Errorf("update: %w", err)
		}
		took = append(took, time.Since(at))
	}
	fmt.Fprintf(out, "single update\tp50 %s ms, p99 %s ms\t\n", quantile(took, 50), quantile(took, 99))
	return nil
}

func cpuPer(before time.Duration, resources int) string {
	return fmt.Sprintf("%.0f µs cpu per resource", float64((cpuTime()-before).Microseconds())/float64(resources))
}

// quantile is in milliseconds.
func quantile(d []time.Duration, percent int) string {
	d = slices.Sorted(slices.Values(d))
	return fmt.Sprintf("%.2f", float64(d[(len(d)-1)*percent/100].Microseconds())/1000)
}

func queryKeys(db *sql.DB, text string, args ...any) ([]int64, error) {
	rows, err := db.Query(text, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var keys []int64
	for rows.Next() {
		var k int64
		if err := rows.Scan(&k); err != nil {
			return nil, err
		}
		keys = append(keys, k)
	}
	return keys, rows.Err()
}

// nearest keeps the rows whose exact position is within the distance; read gives the row and the cell of one result.
func nearest(rows *sql.Rows, q question, limit int, read func(*sql.Rows) (key, cell int64, err error)) ([]int64, error) {
	var keys []int64
	for rows.Next() {
		key, cell, err := read(rows)
		if err != nil {
			return nil, err
		}
		if lat, lon := positionOf(cell); distance(q.lat, q.lon, lat, lon) <= q.km {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys[:min(limit, len(keys))], rows.Err()
}
