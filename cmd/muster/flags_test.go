package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"muster/internal/audit"
	"muster/internal/export"
	"muster/internal/searchset"
	"muster/internal/server"

	"github.com/alecthomas/kong"
)

// TestLogLevel checks which lines each level writes.
func TestLogLevel(t *testing.T) {
	for level, want := range map[string]int{"debug": 4, "info": 3, "warn": 2, "error": 1} {
		for _, format := range []string{"text", "json"} {
			var out bytes.Buffer
			f := logFlags{LogFormat: format, LogLevel: level}
			log := f.logger(&out)
			log.Debug("one")
			log.Info("two")
			log.Warn("three")
			log.Error("four")
			if got := strings.Count(out.String(), "\n"); got != want {
				t.Errorf("--log-level %s --log-format %s writes %d lines, want %d:\n%s", level, format, got, want, out.String())
			}
		}
	}
}

// TestServeDefaults checks that each option has the default of the package that it
// configures, and that the default in the help text parses to the same value.
func TestServeDefaults(t *testing.T) {
	c := serveCmd{Data: "d"}
	if err := kong.ApplyDefaults(&c, flagVars()); err != nil {
		t.Fatal(err)
	}
	if c.Workers != export.DefaultWorkers || c.PartBytes != export.DefaultPartBytes || c.Retention != export.DefaultRetention ||
		c.SweepEvery != export.DefaultSweepEvery || c.Jobs != export.DefaultJobsPerPrincipal || c.Lease != export.DefaultLease ||
		c.Zone.String() != export.DefaultZone || c.PageLife != searchset.DefaultPageLife ||
		c.AuditSize != audit.DefaultMegaBytes || c.AuditBackups != audit.DefaultBackups {
		t.Errorf("the defaults are %+v", c)
	}
	for _, test := range []struct {
		local bool
		rate  float64
	}{{true, 0}, {false, server.DefaultRate}} {
		want := server.Limits{
			Body: server.DefaultMaxBody, Header: server.DefaultMaxHeader, URL: server.DefaultMaxURL, Parameters: server.DefaultMaxParameters,
			Rate: test.rate, Downloads: server.DefaultDownloads, Searches: server.DefaultSearches,
		}
		if got := c.limits(test.local); got != want {
			t.Errorf("limits(%t) = %+v, want %+v", test.local, got, want)
		}
	}
}

// TestDrainDelay checks the default of --drain-delay, with and without a proxy.
func TestDrainDelay(t *testing.T) {
	second, none := time.Second, time.Duration(0)
	for _, c := range []struct {
		proxy bool
		given *time.Duration
		want  time.Duration
	}{{false, nil, 0}, {true, nil, 5 * time.Second}, {false, &second, second}, {true, &second, second}, {true, &none, 0}} {
		if got := (&serveCmd{BehindProxy: c.proxy, DrainDelay: c.given}).drainDelay(); got != c.want {
			t.Errorf("--behind-proxy=%t --drain-delay=%v: %v, want %v", c.proxy, c.given, got, c.want)
		}
	}
}

// TestShortDuration formats durations as options are written.
func TestShortDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", 5 * time.Second: "5s", 10 * time.Minute: "10m", 24 * time.Hour: "24h", 90 * time.Minute: "1h30m", 90 * time.Second: "1m30s", 200 * time.Millisecond: "200ms",
	} {
		if got := shortDuration(d); got != want {
			t.Errorf("shortDuration(%v) = %s, want %s", d, got, want)
		}
	}
}
