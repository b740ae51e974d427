package main

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"time"

	"muster/internal/testkit"

	_ "github.com/jackc/pgx/v5/stdlib" // registers the driver "pgx"
)

// cost is what a measurement took.
type cost struct {
	wall time.Duration
	cpu  time.Duration
}

func (c cost) String() string {
	return fmt.Sprintf("%.2f s CPU, %.2f s", c.cpu.Seconds(), c.wall.Seconds())
}

// meter measures the CPU time of this process, of others, and of the sessions of a PostgreSQL
// database.
type meter struct {
	pids     []int
	sessions *sql.DB // nil without PostgreSQL
}

// newMeter returns a meter of this process, of those with the ids, and of the sessions.
func (b *bench) newMeter(pids ...int) (*meter, error) {
	m := &meter{pids: append(pids, os.Getpid())}
	if b.url == "" {
		return m, nil
	}
	var err error
	m.sessions, err = sql.Open("pgx", b.env.Database)
	return m, err
}

// serve starts a server and returns a meter that includes it. stop ends both.
func (b *bench) serve() (server *testkit.Server, m *meter, stop func() error, err error) {
	if server, err = b.env.Serve("--jobs", "0"); err != nil {
		return nil, nil, nil, err
	}
	if m, err = b.newMeter(server.PID()); err != nil {
		server.Kill()
		return nil, nil, nil, err
	}
	return server, m, func() error {
		server.Kill()
		return m.close()
	}, nil
}

func (m *meter) close() error {
	if m.sessions == nil {
		return nil
	}
	return m.sessions.Close()
}

// measure runs f and returns what it took. A session that ends before f does counts for nothing.
func (m *meter) measure(ctx context.Context, f func() error) (cost, error) {
	runtime.GC() // of what was before
	before, err := m.cpu(ctx)
	if err != nil {
		return cost{}, err
	}
	start := time.Now()
	err = f()
	wall := time.Since(start)
	after, err2 := m.cpu(ctx)
	if err := errors.Join(err, err2); err != nil {
		return cost{}, err
	}
	total := time.Duration(0)
	for pid, used := range after {
		total += used - before[pid]
	}
	return cost{wall, total}, nil
}

// cpu returns the CPU time of each process.
func (m *meter) cpu(ctx context.Context) (map[int]time.Duration, error) {
	pids := slices.Clone(m.pids)
	if m.sessions != nil {
		var list string
		err := m.sessions.QueryRowContext(ctx, `SELECT coalesce(string_agg(pid::text, ' '), '') FROM pg_stat_activity
			WHERE datname = current_database() AND pid <> pg_backend_pid()`).Scan(&list)
		if err != nil {
			return nil, err
		}
		for _, text := range strings.Fields(list) {
			pid, err := strconv.Atoi(text)
			if err != nil {
				return nil, err
			}
			pids = append(pids, pid)
		}
	}
	used := map[int]time.Duration{}
	for _, pid := range pids {
		var err error
		if used[pid], err = cpuTime(pid); err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
	}
	return used, nil
}

// tick is the unit of times in /proc: USER_HZ is 100 on Linux.
const tick = 10 * time.Millisecond

// cpuTime returns the CPU time of a process, in user mode and in the kernel.
func cpuTime(pid int) (time.Duration, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	// pid (name) state ppid …: utime and stime are the fields 14 and 15.
	_, rest, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0, fmt.Errorf("/proc/%d/stat has no CPU time", pid)
	}
	user, err := strconv.Atoi(fields[11])
	system, err2 := strconv.Atoi(fields[12])
	return time.Duration(user+system) * tick, errors.Join(err, err2)
}

// median returns the middle one of the values.
func median[T cmp.Ordered](values []T) T { return slices.Sorted(slices.Values(values))[len(values)/2] }

// medians returns the median of CPU time and that of wall-clock time.
func medians(costs []cost) cost {
	var wall, cpu []time.Duration
	for _, c := range costs {
		wall, cpu = append(wall, c.wall), append(cpu, c.cpu)
	}
	return cost{median(wall), median(cpu)}
}

// ratio returns how many times the limit a cost is, in CPU time and in wall-clock time.
func ratio(c, limit cost) string {
	return fmt.Sprintf("%.2f CPU, %.2f", c.cpu.Seconds()/limit.cpu.Seconds(), c.wall.Seconds()/limit.wall.Seconds())
}

// startProfile begins to write a CPU profile to the file, if one is named. The returned function
// ends it.
func startProfile(path string) (func() error, error) {
	if path == "" {
		return func() error { return nil }, nil
	}
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() error {
		pprof.StopCPUProfile()
		return f.Close()
	}, nil
}
