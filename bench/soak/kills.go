package soak

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"muster/internal/testkit"

	"golang.org/x/sync/errgroup"
)

// KillsPlan says how much [Kills] does.
type KillsPlan struct {
	Kills         int
	Seed          uint64
	ScenarioKills int    // kills of one episode, which ends with a reckoning
	Parallel      int    // episodes at a time
	Postgres      string // URL of a database to make others from; empty for SQLite
}

// KillsReport is what [Kills] did. Safe for use by several goroutines.
type KillsReport struct {
	mu         sync.Mutex
	Kills      map[string]int // by what was killed and how
	Failpoints map[string]int // deaths by fault point
	Outcomes   map[string]int // of jobs, by how they ended
	Loads      map[string]int // attempts of loads, by how they ended
	Answers    []time.Duration
	Orphans    []time.Duration // until the files without an owner were gone
	Warnings   map[string]int
	Paused     int // servers that stood still beyond their lease
}

func newKillsReport() *KillsReport {
	return &KillsReport{Kills: map[string]int{}, Failpoints: map[string]int{}, Outcomes: map[string]int{}, Loads: map[string]int{}, Warnings: map[string]int{}}
}

func (r *KillsReport) count(in map[string]int, what string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	in[what]++
}

func (r *KillsReport) paused() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.Paused++
}

func (r *KillsReport) record(in *[]time.Duration, took time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	*in = append(*in, took)
}

// Total is the sum of counts.
func Total(counts map[string]int) (n int) {
	for _, of := range counts {
		n += of
	}
	return n
}

// Counts writes counts as text, in the order of their names.
func Counts(counts map[string]int) string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		all = append(all, fmt.Sprintf("%s %d", name, counts[name]))
	}
	return strings.Join(all, ", ")
}

// Kills proves the promises of a crash: servers and loaders are killed at random times
// and at random fault points, and started again, while a client starts, polls, downloads
// and cancels exports. Every so many kills an episode ends with a reckoning: all
// calms down, every job must have ended, well or with a reason; what each complete one
// held is judged; what was acknowledged must be there; no file may be left without
// an owner, and none at all when the jobs are deleted.
func Kills(ctx context.Context, program testkit.Program, dir string, plan KillsPlan) (*KillsReport, error) {
	report := newKillsReport()
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(max(1, plan.Parallel))
	for n, left := 0, plan.Kills; left > 0 && ctx.Err() == nil; n, left = n+1, left-plan.ScenarioKills {
		group.Go(func() error {
			ground, err := NewEnv(ctx, program, filepath.Join(dir, fmt.Sprint("episode-", n)), plan.Postgres)
			if err != nil {
				return err
			}
			e := newScenario(ground, report, min(left, plan.ScenarioKills), func(actor uint64) *rand.Rand {
				return rand.New(rand.NewPCG(plan.Seed, uint64(n)<<8|actor))
			})
			if err := e.run(ctx); err != nil {
				return fmt.Errorf("episode %d of seed %d: %w", n, plan.Seed, err)
			}
			return ground.Cleanup(ctx)
		})
	}
	return report, group.Wait()
}
