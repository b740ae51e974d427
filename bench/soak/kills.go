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

// KillsPlan configures [Kills].
type KillsPlan struct {
	Kills         int
	Seed          uint64
	ScenarioKills int    // kills of one scenario, which ends with a verification
	Parallel      int    // scenarios that run at the same time
	Postgres      string // URL of a database whose user may create databases; empty for SQLite
}

// KillsReport counts what happened in [Kills]. It is safe for use by several goroutines.
type KillsReport struct {
	mu         sync.Mutex
	Kills      map[string]int // by target and kind
	Failpoints map[string]int // crashes by failpoint
	Outcomes   map[string]int // jobs by outcome
	Loads      map[string]int // attempts of loads by outcome
	Answers    []time.Duration
	Orphans    []time.Duration // times until files without a job were removed
	Warnings   map[string]int
	Paused     int // servers that were paused for longer than their lease
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

// Total returns the sum of counts.
func Total(counts map[string]int) (n int) {
	for _, count := range counts {
		n += count
	}
	return n
}

// Counts formats counts as text, in the order of their names.
func Counts(counts map[string]int) string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		all = append(all, fmt.Sprintf("%s %d", name, counts[name]))
	}
	return strings.Join(all, ", ")
}

// Kills tests the promises about crashes. It kills servers and loaders at random times
// and at random failpoints and restarts them, while a client starts, polls, downloads and
// cancels exports. After a number of kills a scenario ends with a verification on an
// undisturbed server: every job must end with its files or with a reason, every complete
// export must hold what it should, acknowledged writes must be stored, no file may be
// left without a job, and no file at all after the jobs are deleted.
func Kills(ctx context.Context, program testkit.Program, dir string, plan KillsPlan) (*KillsReport, error) {
	report := newKillsReport()
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(max(1, plan.Parallel))
	for n, left := 0, plan.Kills; left > 0 && ctx.Err() == nil; n, left = n+1, left-plan.ScenarioKills {
		group.Go(func() error {
			env, err := NewEnv(ctx, program, filepath.Join(dir, fmt.Sprint("scenario-", n)), plan.Postgres)
			if err != nil {
				return err
			}
			sc := newScenario(env, report, min(left, plan.ScenarioKills), func(actor uint64) *rand.Rand {
				return rand.New(rand.NewPCG(plan.Seed, uint64(n)<<8|actor))
			})
			if err := sc.run(ctx); err != nil {
				return fmt.Errorf("scenario %d of seed %d: %w", n, plan.Seed, err)
			}
			return env.Cleanup(ctx)
		})
	}
	return report, group.Wait()
}
