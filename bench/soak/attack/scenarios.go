package main

import (
	"context"
	"slices"
)

// scenario is one attack. attack runs once for each attacker, until ctx ends.
type scenario struct {
	name  string
	about string
	setup
	alone    bool // needs a server of its own
	single   bool // has one attacker
	viaProxy bool // clients connect through the proxy
	loads    bool // starts loads, so it runs in the process of the soak
	suspends bool // suspends another process, for which exports wait
	attack   func(ctx context.Context, a *attacker)
	prepare  func(ctx context.Context, s *stage) // before the attack
	verify   func(ctx context.Context, s *stage) // after the attack
}

// scenarios are all scenarios.
var scenarios = slices.Concat(exportScenarios, searchScenarios, requestScenarios, connectionScenarios, http2Scenarios, processScenarios)

func scenarioByName(name string) (scenario, bool) {
	n := slices.IndexFunc(scenarios, func(s scenario) bool { return s.name == name })
	if n < 0 {
		return scenario{}, false
	}
	return scenarios[n], true
}
