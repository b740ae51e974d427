package main

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"muster/internal/fhir"
	"muster/internal/testkit"
)

// TestClockWatch steps the clock of a running server and that of its directory.
func TestClockWatch(t *testing.T) {
	start := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	last := start
	var log testkit.Log
	w := &clockWatch{log: slog.New(slog.NewTextHandler(&log, nil)), last: func(context.Context) (fhir.Instant, error) { return fhir.InstantOf(last), nil }}
	read := 0
	check := func(what string, now time.Time, elapsed time.Duration, want ...string) {
		t.Helper()
		w.check(t.Context(), now, elapsed)
		text := log.String()[read:]
		read += len(text)
		if n := strings.Count(text, "level=ERROR"); n != len(want) {
			t.Errorf("%s: logged %q, want %q", what, text, want)
		}
		for _, one := range want {
			if !strings.Contains(text, one) {
				t.Errorf("%s: logged %q, want %q", what, text, one)
			}
		}
	}
	check("start", start, 0)
	check("a minute later", start.Add(time.Minute), time.Minute)
	check("after two days asleep", start.Add(49*time.Hour), 49*time.Hour)
	check("23 hours ahead", start.Add(72*time.Hour), time.Minute)
	check("two days ahead", start.Add(120*time.Hour), time.Minute, `"the clock was set ahead" by=`)
	check("once", start.Add(120*time.Hour+time.Minute), time.Minute)
	last = start.Add(120 * time.Hour) // something was committed
	check("set back", start.Add(10*time.Hour), time.Minute, `"the last time of the directory is ahead of the clock" by=`)
	for n := range clockRepeat - 1 {
		check("still ahead", start.Add(10*time.Hour+time.Duration(n+1)*time.Minute), time.Minute)
	}
	check("after an hour", start.Add(11*time.Hour), time.Minute, "is ahead of the clock")
	check("nearly caught up", start.Add(100*time.Hour), 89*time.Hour)
}
