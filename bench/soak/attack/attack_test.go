package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"muster/internal/testkit"
)

// muster is the program under test.
var muster testkit.Program

func TestMain(m *testing.M) {
	if is, err := runCrew(); is {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(testkit.Main(m, &muster))
}

// TestAttacks runs small attacks together for some seconds. Attackers must get through, and the
// honest client must be served. How fast is for the command to say, since this machine may be
// busy. Attackers that got no connection beside the others, as the limits of clients want it, attack
// again without those that got through.
func TestAttacks(t *testing.T) {
	o := options{all: true, attackers: 2, duration: 2500 * time.Millisecond, database: "sqlite", scale: "0.05", size: 0.01, seed: 7}
	directory, err := newDirectory(t.Context(), muster, t.TempDir(), o)
	if err != nil {
		t.Fatal(err)
	}
	left := strings.Split("jobs,searches,unread-pages,unread-downloads,refused,idle-many,slow-headers,slow-bodies,h2-reset,h2-settings,h2-ping,h2-streams", ",")
	for round := 1; round <= 3 && len(left) > 0; round++ {
		o.names = strings.Join(left, ",")
		fights, err := o.fights()
		if err != nil {
			t.Fatal(err)
		}
		r, err := directory.fight(t.Context(), fights[0], o)
		if err != nil {
			t.Fatal(err)
		}
		t.Log(r.row())
		for what, n := range map[string]int{"reads": r.honest.reads.len(), "exports": r.honest.exports.len(), "polls": r.honest.polls.len(), "probes": r.honest.probes.len()} {
			if n == 0 {
				t.Errorf("the honest client got no good answers: %s", what)
			}
		}
		left = slices.DeleteFunc(left, r.attacked)
	}
	if len(left) > 0 {
		t.Errorf("the attackers of %v did nothing", left)
	}
}

// attacked reports whether the attackers of a scenario reached the server.
func (r *report) attacked(name string) bool {
	for event := range r.events {
		if strings.HasPrefix(event, name+" ") && !strings.HasSuffix(event, "not connected") && !strings.HasSuffix(event, "no answer") {
			return true
		}
	}
	return false
}
