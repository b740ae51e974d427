package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"muster/bench/soak"
)

// The promises to the honest client, and the limits of the server.
const (
	slowestReads  = 100 * time.Millisecond // 99th percentile
	slowestExport = 5 * time.Second
	mostMemory    = 512 << 20 // bytes
	mostWAL       = 256 << 20 // bytes: the directory is small, and no load runs

	// The default of --connections allows twice as many descriptors, and the databases and
	// the files in use need a few.
	mostDescriptors = 2*1024 + 200
)

// report is the result of a run.
type report struct {
	fight
	options
	honest *honest
	usage  usage
	events map[string]int
	broken []string
}

// judge lists the broken promises. others are those of the scenarios.
func (r *report) judge(others []string) {
	r.broken = others
	broken := func(format string, args ...any) { r.broken = append(r.broken, fmt.Sprintf(format, args...)) }
	h, u := r.honest, r.usage
	for _, kind := range []struct {
		name    string
		series  *series
		excused string // a status that a tenth of the answers may have
	}{
		{"reads", &h.reads, ""}, {"searches", &h.searches, "503"}, {"exports", &h.exports, ""},
		{"polls", &h.polls, ""}, {"probes", &h.probes, ""}, {"metrics", &h.metrics, ""},
	} {
		if kind.name == "exports" && r.suspends() {
			continue
		}
		if bad := kind.series.failures(kind.excused, 0.1); bad != "" {
			broken("%s fail: %s", kind.name, bad)
		}
	}
	if p99 := h.reads.quantile(0.99); p99 >= slowestReads || h.reads.len() == 0 {
		broken("the 99th percentile of %d reads is %v, the limit is %v", h.reads.len(), p99, slowestReads)
	}
	if worst := h.exports.quantile(1); !r.suspends() && (worst >= slowestExport || h.exports.len() == 0) {
		broken("the slowest of %d exports took %v, the limit is %v", h.exports.len(), worst, slowestExport)
	}
	if u.err != nil {
		broken("%v", u.err)
	}
	if u.memory >= mostMemory {
		broken("the server used %s of memory, the limit is %s", megabytes(u.memory), megabytes(mostMemory))
	}
	if u.wal >= mostWAL {
		broken("the write-ahead log has %s, the limit is %s", megabytes(u.wal), megabytes(mostWAL))
	}
	if u.descriptors >= mostDescriptors {
		broken("the server used %d descriptors, the limit is %d", u.descriptors, mostDescriptors)
	}
}

// suspends reports whether exports wait for a suspended process. The scenario then checks
// them itself.
func (r *report) suspends() bool {
	return slices.ContainsFunc(r.scenarios, func(s scenario) bool { return s.suspends })
}

// megabytes formats a size.
func megabytes(bytes int64) string { return fmt.Sprintf("%.0f MiB", float64(bytes)/(1<<20)) }

// heading is the heading of the table of rows.
const heading = `| scenario | what the attackers got | reads p50, p99 | searches p50, p99 | export p50, worst | memory | descriptors | WAL | disk, before | audit log | broken |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |
`

// row returns the figures as a Markdown row.
func (r *report) row() string {
	h, u := r.honest, r.usage
	name := fmt.Sprintf("%s, %d for %v, %s", r.name, r.attackers, r.duration, r.database)
	cells := []string{
		name, soak.Counts(r.shortEvents()), quantiles(&h.reads, 0.5, 0.99), quantiles(&h.searches, 0.5, 0.99), quantiles(&h.exports, 0.5, 1),
		megabytes(u.memory), fmt.Sprint(u.descriptors), megabytes(u.wal), megabytes(u.disk) + ", " + megabytes(u.diskBefore), megabytes(u.audit),
		strings.ReplaceAll(strings.Join(r.broken, "; "), "|", `\|`),
	}
	return "| " + strings.ReplaceAll(strings.Join(cells, " | "), "\n", " ") + " |"
}

// shortEvents returns the events, without the name of the scenario if there is one only.
func (r *report) shortEvents() map[string]int {
	if len(r.scenarios) > 1 {
		return r.events
	}
	short := map[string]int{}
	for event, n := range r.events {
		short[strings.TrimPrefix(event, r.name+" ")] += n
	}
	return short
}

func quantiles(s *series, q ...float64) string {
	var all []string
	for _, one := range q {
		all = append(all, s.quantile(one).String())
	}
	return strings.Join(all, ", ") + fmt.Sprintf(" of %d", s.len())
}
