// Command exports measures bulk exports of the real program.
//
//	go run ./bench/exports kickoff   kick-off and selection during a load in another process
//	go run ./bench/exports memory    resident memory of exports of 100,000 and 1,000,000 resources
//
// It prints the results as Markdown rows for bench/RESULTS.md.
package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"muster/internal/testkit"
)

func main() {
	dir := flag.String("dir", "", "parent of the temporary folder for the data; defaults to that of the system")
	rows := flag.Int("rows", 0, "resources to load; 0 stands for 200000 (kickoff) or 1000000 (memory)")
	flag.Parse()
	if err := run(*dir, flag.Arg(0), *rows); err != nil {
		fmt.Fprintln(os.Stderr, "exports:", err)
		os.Exit(1)
	}
}

func run(dir, what string, rows int) (err error) {
	if dir, err = os.MkdirTemp(dir, "muster-bench"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	program, err := testkit.Build(dir)
	if err != nil {
		return err
	}
	address, err := testkit.FreeAddress()
	if err != nil {
		return err
	}
	b := bench{dir: dir, program: program, address: address}
	switch what {
	case "kickoff":
		return b.kickoff(orDefault(rows, 200_000))
	case "memory":
		return b.memory(orDefault(rows, 1_000_000))
	}
	return fmt.Errorf("unknown measurement %q: use kickoff or memory", what)
}

func orDefault(n, fallback int) int {
	if n == 0 {
		return fallback
	}
	return n
}

type bench struct {
	dir     string
	program testkit.Program
	address string // of all servers, because a directory keeps its base URL
}

const everyPractitioner = "Practitioner?_lastUpdated=ge1900-01-01T00:00:00Z"

// practitioners writes the resources [from, to) to an NDJSON file.
func (b bench) practitioners(from, to int) (string, error) {
	path := filepath.Join(b.dir, fmt.Sprintf("practitioners-%d-%d.ndjson", from, to))
	f, err := os.Create(path)
	if err != nil {
		return "", err
	}
	w := bufio.NewWriterSize(f, 1<<20)
	for i := from; i < to; i++ {
		fmt.Fprintf(w, `{"resourceType":"Practitioner","id":"p%d","identifier":[{"system":"http://ns.electronichealth.net.au/id/hi/hpii/1.0","value":"80036199%08d"}],"active":true,"name":[{"use":"official","family":"Family%d","given":["Given%d"]}]}`+"\n", i, i, i%5000, i%700)
	}
	return path, errors.Join(w.Flush(), f.Close())
}

func (b bench) serve(data string, args ...string) (*testkit.Server, error) {
	return b.program.Serve(data, b.address, "", append([]string{"--jobs", "0"}, args...)...)
}

// kickoff starts small exports during a load in another process. It measures the time of
// the kick-off and the time until the export is complete.
func (b bench) kickoff(rows int) error {
	data := filepath.Join(b.dir, "data")
	first, err := b.practitioners(0, 1000)
	if err != nil {
		return err
	}
	all, err := b.practitioners(0, rows)
	if err != nil {
		return err
	}
	if _, err := b.program.Run("load", "--data", data, first); err != nil {
		return err
	}
	server, err := b.serve(data)
	if err != nil {
		return err
	}
	defer server.Kill()

	loaded := make(chan error, 1)
	start := time.Now()
	go func() {
		_, err := b.program.Run("load", "--data", data, all)
		loaded <- err
	}()
	var accepted, complete []time.Duration
	body := testkit.Parameters("", "Practitioner?_id=p1,p2,p3")
	for {
		begin := time.Now()
		status, err := server.KickOff(body)
		if err != nil {
			return err
		}
		accepted = append(accepted, time.Since(begin))
		if _, err := server.Wait(context.Background(), status); err != nil {
			return err
		}
		complete = append(complete, time.Since(begin))
		select {
		case err := <-loaded:
			took := time.Since(start)
			if err != nil {
				return err
			}
			fmt.Printf("| load during %d exports | %d resources in %.1f s, %.0f/s |\n", len(accepted), rows, took.Seconds(), float64(rows)/took.Seconds())
			fmt.Printf("| kick-off to 202, during a load | p50 %v, p99 %v, max %v |\n", quantile(accepted, 0.5), quantile(accepted, 0.99), quantile(accepted, 1))
			fmt.Printf("| kick-off to manifest of 3 resources, during a load | p50 %v, p99 %v, max %v |\n", quantile(complete, 0.5), quantile(complete, 0.99), quantile(complete, 1))
			return nil
		default:
		}
	}
}

func quantile(all []time.Duration, q float64) time.Duration {
	sorted := slices.Sorted(slices.Values(all))
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))].Round(100 * time.Microsecond)
}

// memory exports a tenth of the resources and then all of them, each with a new server,
// and compares the peak resident memory of the two.
func (b bench) memory(rows int) error {
	data := filepath.Join(b.dir, "data")
	var peaks []int64
	for _, step := range []struct{ from, to int }{{0, rows / 10}, {rows / 10, rows}} {
		file, err := b.practitioners(step.from, step.to)
		if err != nil {
			return err
		}
		begin := time.Now()
		if _, err := b.program.Run("load", "--data", data, file); err != nil {
			return err
		}
		fmt.Printf("| load of %d small resources | %.0f/s |\n", step.to-step.from, float64(step.to-step.from)/time.Since(begin).Seconds())
		peak, err := b.export(data, step.to)
		if err != nil {
			return err
		}
		peaks = append(peaks, peak)
	}
	fmt.Printf("| difference of the peaks | %.1f MiB |\n", float64(peaks[1]-peaks[0])/(1<<20))
	return nil
}

// export starts a server, exports all resources and returns the peak resident memory.
func (b bench) export(data string, rows int) (peak int64, err error) {
	server, err := b.serve(data)
	if err != nil {
		return 0, err
	}
	defer server.Kill()
	begin := time.Now()
	status, err := server.KickOff(testkit.Parameters("", everyPractitioner))
	if err != nil {
		return 0, err
	}
	m, err := server.Wait(context.Background(), status)
	if err != nil {
		return 0, err
	}
	took := time.Since(begin)
	count := 0
	for _, o := range m.Output {
		count += o.Count
	}
	if count != rows {
		return 0, fmt.Errorf("the export has %d resources, want %d", count, rows)
	}
	peak, err = highWater(server.PID())
	fmt.Printf("| export of %d resources, %d files | %.2f s, %.0f resources/s, peak resident %.1f MiB |\n", count, len(m.Output), took.Seconds(), float64(count)/took.Seconds(), float64(peak)/(1<<20))
	return peak, err
}

// highWater returns the peak resident memory of a process in bytes. It works on Linux.
func highWater(pid int) (int64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range bytes.Lines(status) {
		if rest, ok := strings.CutPrefix(string(line), "VmHWM:"); ok {
			kib, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
			return kib << 10, err
		}
	}
	return 0, errors.New("the kernel does not report the peak resident memory")
}
