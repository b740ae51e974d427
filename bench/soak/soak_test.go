package soak

import (
	"context"
	"errors"
	"os"
	"testing"

	"muster/internal/testkit"
	"muster/internal/testkit/pgtest"
)

// muster is the program under test.
var muster testkit.Program

func TestMain(m *testing.M) { os.Exit(testkit.Main(m, &muster)) }

// TestDeltas runs a short version of the command deltas.
func TestDeltas(t *testing.T) {
	t.Attr("requirements", "KO-23 MA-01 MA-04 VI-09 VI-10")
	onEach(t, func(t *testing.T, postgres string) {
		testDeltas(t, postgres)
	})
}

// onEach runs a test on both databases. postgres is the URL of a database on which to
// create others.
func onEach(t *testing.T, test func(t *testing.T, postgres string)) {
	t.Run("sqlite", func(t *testing.T) { test(t, "") })
	t.Run("postgres", func(t *testing.T) { test(t, pgtest.Database(t)) })
}

func testDeltas(t *testing.T, postgres string) {
	env, err := NewEnv(t.Context(), muster, t.TempDir(), postgres)
	if err != nil {
		t.Fatal(err)
	}
	r, err := Deltas(context.Background(), env, DeltasPlan{Rounds: 20, Seed: 7, Batch: 40, Long: 1500})
	if err := errors.Join(err, env.Cleanup(context.Background())); err != nil {
		t.Fatal(err)
	}
	if r.DuringLoad == 0 || r.Removed == 0 || r.Loads < 10 {
		t.Errorf("%d rounds while a load ran, %d removals, %d loads: the writers wrote too little", r.DuringLoad, r.Removed, r.Loads)
	}
	t.Logf("%d versions by %d loads, %d removals, %d lines", r.Versions, r.Loads, r.Removed, r.Main.Lines+r.Second.Lines)
}

// TestKills runs a short version of the command kills.
func TestKills(t *testing.T) {
	t.Attr("requirements", "MA-01 MA-04 DE-01 DE-03")
	onEach(t, testKills)
}

// On a busy machine all servers of a run may be killed before they accept an export. Then another run
// follows.
func testKills(t *testing.T, postgres string) {
	jobs := 0
	for seed := uint64(7); seed < 10 && jobs == 0; seed++ {
		r, err := Kills(context.Background(), muster, t.TempDir(), KillsPlan{Kills: 20, Seed: seed, ScenarioKills: 10, Parallel: 2, Postgres: postgres})
		if err != nil {
			t.Fatal(err)
		}
		if Total(r.Kills) < 20 {
			t.Errorf("%d kills", Total(r.Kills))
		}
		t.Logf("kills: %s; jobs: %s", Counts(r.Kills), Counts(r.Outcomes))
		jobs += Total(r.Outcomes)
	}
	if jobs == 0 {
		t.Error("no exports")
	}
}

// TestDamage runs a short version of the command damage.
func TestDamage(t *testing.T) {
	r, err := Damage(t.Context(), muster, t.TempDir(), DamagePlan{Copies: 10, Logs: 6, Files: 6, Resources: 2000, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	for _, wrong := range r.Wrong {
		t.Error(wrong)
	}
	if r.Exports["40 flipped bits: failed"] == 0 || r.Files["broken off or refused"] == 0 || r.Files["right"] == 0 {
		t.Errorf("starts %v, exports %v, files %v: the damage was not read", r.Starts, r.Exports, r.Files)
	}
	if r.Starts["log of directory.db, a flipped bit after a kill"] == 0 {
		t.Errorf("starts %v: a damaged log was not noticed", r.Starts)
	}
}
