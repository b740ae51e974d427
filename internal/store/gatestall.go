package store

import (
	"fmt"
	"sync"
	"time"
)

// GateStall says that a process holds the write gate and makes no progress, for example since
// it is suspended. Others wait for it. The zero value says that a stall has ended.
type GateStall struct {
	Holder string        // the process or the session, such as "process 4711"; "" if it is not known
	Since  time.Time     // when it acquired the gate; zero if it is not known
	For    time.Duration // how long it is known to make no progress
	Remedy string        // what to do
}

// Text returns the problem and its remedy in the form of an error.
func (s GateStall) Text() string {
	holder, since := s.Holder, ""
	if holder == "" {
		holder = "a process"
	}
	if !s.Since.IsZero() {
		since = " since " + s.Since.UTC().Format(time.RFC3339)
	}
	return fmt.Sprintf("%s holds the write gate%s and makes no progress, so that loads and exports wait: %s", holder, since, s.Remedy)
}

// GateStallAfter is the time without progress after which a holder of the write gate is
// reported. A batch of a load holds the gate for at most 250 ms.
const GateStallAfter = 30 * time.Second

// repeatStall is the time after which the same stall is reported again.
const repeatStall = time.Minute

// StallReporter reports stalls of the gate that several goroutines notice, each once and then
// once a minute. Its zero value reports nothing. Safe for use by several goroutines.
type StallReporter struct {
	Report func(GateStall) // may be nil

	mu       sync.Mutex
	last     GateStall
	reported time.Time
}

// Stalled reports a stall, unless it was reported within the last minute.
func (r *StallReporter) Stalled(s GateStall, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.Report == nil || r.last.Holder == s.Holder && r.last.Since.Equal(s.Since) && now.Sub(r.reported) < repeatStall {
		return
	}
	r.last, r.reported = s, now
	r.Report(s)
}

// Passed is called when a goroutine has acquired the gate. It reports the end of a stall.
func (r *StallReporter) Passed() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.Report != nil && !r.reported.IsZero() {
		r.last, r.reported = GateStall{}, time.Time{}
		r.Report(GateStall{})
	}
}
