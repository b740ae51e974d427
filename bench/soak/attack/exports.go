package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"muster/internal/testkit"
)

var exportScenarios = []scenario{
	{
		name: "jobs", about: "kick-offs of exports of nothing, five at a time from each address",
		attack: func(ctx context.Context, a *attacker) {
			parallel(ctx, 5, func(int) {
				if a.kickOff(ctx, testkit.Parameters("", "Location?_id=nothing")).status == http.StatusAccepted {
					pause(ctx, 10*time.Millisecond)
				} else {
					pause(ctx, 200*time.Millisecond)
				}
			})
		},
	},
	{
		name: "selections", about: "five exports with a filter of ten steps at a time from each address",
		attack: func(ctx context.Context, a *attacker) {
			parallel(ctx, 5, func(int) { a.exportOnce(ctx, slow(10)) })
		},
	},
	{
		name: "exports", about: "exports of everything, two at a time from each address, which are never deleted",
		setup: setup{serve: []string{"--client-quota", fmt.Sprint(clientQuota)}},
		attack: func(ctx context.Context, a *attacker) {
			parallel(ctx, 2, func(int) {
				if status, ok := a.exportOnce(ctx, everything...); ok {
					a.remember(finished + status)
				}
			})
		},
		verify: func(ctx context.Context, s *stage) { s.finishedExportsAreServed(ctx); s.quotasHold() },
	},
	{
		name: "delete-many", about: "DELETE of an export with thousands of files", alone: true, single: true,
		setup:  setup{serve: []string{"--part-bytes", "20000"}},
		attack: deleteMany,
	},
}

// everything are filters that select all resources of the most frequent types.
var everything = []string{
	"Practitioner?_lastUpdated=ge1900-01-01", "PractitionerRole?_lastUpdated=ge1900-01-01", "Organization?_lastUpdated=ge1900-01-01",
	"HealthcareService?_lastUpdated=ge1900-01-01", "Location?_lastUpdated=ge1900-01-01",
}

func (a *attacker) kickOff(ctx context.Context, body string) answer {
	return a.send(ctx, http.MethodPost, a.base+"/$export", body, kickOffHeader...)
}

// exportOnce starts an export and polls as often as it may until it has ended. It returns
// the status URL of an export that is complete. After a refusal it waits a second.
func (a *attacker) exportOnce(ctx context.Context, filters ...string) (status string, complete bool) {
	got := a.kickOff(ctx, testkit.Parameters("", filters...))
	if got.status != http.StatusAccepted {
		pause(ctx, time.Second)
		return "", false
	}
	status = got.header.Get("Content-Location")
	return status, a.follow(ctx, status).status == http.StatusOK
}

// follow polls until an export has ended.
func (a *attacker) follow(ctx context.Context, status string) (last answer) {
	for ctx.Err() == nil {
		last = request(ctx, a.client, http.MethodGet, status, "")
		if last.status != http.StatusAccepted && last.status != http.StatusTooManyRequests {
			if ctx.Err() == nil {
				a.count("ended " + last.text())
			}
			return last
		}
		pause(ctx, retryAfter(last))
	}
	return answer{}
}

// clientQuota is the option --client-quota of the scenario exports, in bytes: enough for a
// few whole exports of a small directory, so that it is reached within a run.
const clientQuota = 24 << 20

// otherGrowth is by how much the data directory may grow besides the files of exports: by
// jobs, and by what a load or a deleted export leaves for a while.
const otherGrowth = 128 << 20 // bytes

// quotasHold checks that the files of all clients are within their quotas.
func (s *stage) quotasHold() {
	var now usage
	s.sampleDisk(&now)
	if now.err != nil {
		s.breach("%v", now.err)
	}
	most := s.diskBefore + int64(s.options.attackers+1)*clientQuota + otherGrowth
	if now.disk > most {
		s.breach("the data directory has grown from %s to %s: the quota is %s for each client", megabytes(s.diskBefore), megabytes(now.disk), megabytes(clientQuota))
	}
}

// finished marks the status URL of a complete export.
const finished = "finished export "

// finishedExportsAreServed checks that no export has gone before it expires.
func (s *stage) finishedExportsAreServed(ctx context.Context) {
	client := s.client(honestAddress, false)
	for _, one := range s.remembered() {
		status, ok := strings.CutPrefix(one, finished)
		if !ok {
			continue
		}
		got := request(ctx, client, http.MethodGet, status, "")
		if got.status != http.StatusOK {
			s.breach("an export was complete and has gone before it expires: %s: %s", got.text(), got.body)
			return
		}
	}
}

// slowestDelete is how long a DELETE may take, however many files the job has.
const slowestDelete = 500 * time.Millisecond

// deleteMany deletes exports with many files.
func deleteMany(ctx context.Context, a *attacker) {
	parallel(ctx, 2, func(int) {
		status, complete := a.exportOnce(ctx, everything...)
		if !complete {
			return
		}
		start := time.Now()
		got := a.send(ctx, http.MethodDelete, status, "")
		if took := time.Since(start); ctx.Err() == nil && (got.status != http.StatusAccepted || took > slowestDelete) {
			a.breach("DELETE of an export with thousands of files: %s after %v", got.text(), took.Round(time.Millisecond))
		}
	})
}

// wholeExport returns the URL of the largest file of an export of everything. The attackers
// share one export. It is empty if ctx ends before.
func (a *attacker) wholeExport(ctx context.Context) string {
	a.exporting.Lock()
	defer a.exporting.Unlock()
	for a.wholeFile == "" && ctx.Err() == nil {
		status, complete := a.exportOnce(ctx, everything...)
		if !complete {
			continue
		}
		m, err := testkit.ReadManifest(request(ctx, a.client, http.MethodGet, status, "").body)
		most := 0
		for _, o := range m.Output {
			if err == nil && o.Count > most {
				most, a.wholeFile = o.Count, o.URL
			}
		}
	}
	return a.wholeFile
}
