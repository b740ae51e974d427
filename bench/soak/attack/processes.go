package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"strings"
	"syscall"
	"time"

	"muster/internal/testkit"
)

var processScenarios = []scenario{
	{
		name: "suspended-loader", about: "a load that is suspended while it holds the write gate", alone: true, single: true, loads: true, suspends: true,
		attack: suspendLoader,
	},
	{
		name: "big-resource", about: "loads of a Practitioner with 400,000 names", alone: true, single: true, loads: true,
		attack: loadBigResource,
	},
}

// holderIsNamedAfter is when the log names the process that holds the write gate, at the latest. The
// server waits for 30 s.
const holderIsNamedAfter = 35 * time.Second

// suspendLoader suspends a load for two thirds of the run. If that is long enough, the server must
// log which process holds the gate. When the load continues, exports are served again.
func suspendLoader(ctx context.Context, a *attacker) {
	line := `{"resourceType":"Location","id":"attack","status":"active","name":"Attack"}` + "\n"
	p, err := a.env.StartLoad("directory.apply.entered=stop", []string{line})
	if err != nil {
		a.breach("start a load: %v", err)
		return
	}
	defer p.Kill()
	if err := p.WaitStopped(); err != nil {
		a.breach("the load does not reach the gate: %v", err)
		return
	}
	a.count("suspended")
	suspended := a.options.duration * 2 / 3
	pause(ctx, suspended)
	if suspended > holderIsNamedAfter && !strings.Contains(a.server.Log(), fmt.Sprint(p.PID())) {
		a.breach("the log does not name the process %d, which has held the gate for %v:\n%s", p.PID(), suspended, tail(a.server.Log()))
	}
	if err := p.Continue(); err != nil {
		a.breach("resume the load: %v", err)
		return
	}
	if code := p.ExitCode(); code != 0 {
		a.breach("the load that was suspended ends with code %d: %s", code, p.Log())
	}
	a.count("resumed")
	start := time.Now()
	got := a.kickOff(ctx, testkit.Parameters("", "Location?_id=attack"))
	if got.status == http.StatusAccepted {
		got = a.follow(ctx, got.header.Get("Content-Location"))
	}
	if took := time.Since(start); ctx.Err() == nil && (got.status != http.StatusOK || took > slowestExport) {
		a.breach("an export after the suspension: %s after %v", got.text(), took.Round(time.Millisecond))
	}
}

// The longest times of a load of one large resource, and of a load after SIGTERM.
const (
	slowestBigLoad = 20 * time.Second
	slowestEnd     = 5 * time.Second
)

// loadBigResource loads a resource with very many names, which must be refused or take a
// time in proportion to its size, and ends another load of it by SIGTERM.
func loadBigResource(ctx context.Context, a *attacker) {
	var names strings.Builder
	for n := range 400_000 {
		fmt.Fprintf(&names, `,{"family":"Name%d"}`, n)
	}
	line := `{"resourceType":"Practitioner","id":"attack","active":true,"name":[` + names.String()[1:] + "]}\n"
	for _, terminate := range []bool{false, true} {
		p, err := a.env.StartLoad("", []string{line})
		if err != nil {
			a.breach("start a load: %v", err)
			return
		}
		limit, what := slowestBigLoad, "a load of a Practitioner with 400,000 names"
		if terminate {
			pause(ctx, time.Second)
			limit, what = slowestEnd, what+", after SIGTERM,"
			if err := signal(p, syscall.SIGTERM); err != nil {
				a.count("ended before SIGTERM")
			}
		}
		select {
		case <-p.Exited():
			a.count(fmt.Sprintf("exit code %d", p.ExitCode()))
		case <-time.After(limit):
			a.breach("%s does not end within %v", what, limit)
		case <-ctx.Done():
		}
		p.Kill()
	}
}

// signal sends a signal to a process.
func signal(p *testkit.Process, s os.Signal) error {
	process, err := os.FindProcess(p.PID())
	if err != nil {
		return err
	}
	return process.Signal(s)
}
