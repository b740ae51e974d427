package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"muster/internal/audit"
	"muster/internal/export"
	"muster/internal/searchset"
	"muster/internal/server"
	"muster/internal/store"

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

// TestDurationsInLog checks that a duration has its unit in both formats of the log.
func TestDurationsInLog(t *testing.T) {
	for format, want := range map[string]string{"text": "took=3.46ms", "json": `"took":"3.46ms"`} {
		var out bytes.Buffer
		f := logFlags{LogFormat: format, LogLevel: "info"}
		f.logger(&out).Info("request", "took", 3456*time.Microsecond)
		if !strings.Contains(out.String(), want) {
			t.Errorf("--log-format %s writes %s, want %s in it", format, out.String(), want)
		}
	}
}

// TestServeDefaults checks that each option has the default of the package that it
// configures, and that the default in the help text parses to the same value.
func TestServeDefaults(t *testing.T) {
	c := serveCmd{Data: "d"}
	if err := kong.ApplyDefaults(&c, valueOptions()...); err != nil {
		t.Fatal(err)
	}
	if c.Workers != export.DefaultWorkers || c.PartBytes != export.DefaultPartBytes || c.Retention != export.DefaultRetention ||
		c.SweepEvery != export.DefaultSweepEvery || c.Jobs != export.DefaultJobsPerPrincipal || c.ClientQuota != export.DefaultClientQuota || c.Quota != export.DefaultQuota || c.Lease != export.DefaultLease ||
		c.Zone.String() != export.DefaultZone || c.PageLife != searchset.DefaultPageLife ||
		c.AuditSize != audit.DefaultMegaBytes || c.AuditBackups != audit.DefaultBackups || c.AuditRetention != audit.DefaultRetention {
		t.Errorf("the defaults are %+v", c)
	}
	for _, test := range []struct {
		local bool
		rate  float64
	}{{true, 0}, {false, server.DefaultRate}} {
		want := server.Limits{
			Body: server.DefaultMaxBody, Header: server.DefaultMaxHeader, URL: server.DefaultMaxURL, Parameters: server.DefaultMaxParameters,
			Rate: test.rate, Downloads: server.DefaultDownloads, Searches: server.DefaultSearches,
			ClientConnections: server.DefaultClientConnections, Memory: server.DefaultMemory, ClientMemory: server.DefaultClientMemory,
		}
		if got := c.limits(test.local); got != want {
			t.Errorf("limits(%t) = %+v, want %+v", test.local, got, want)
		}
	}
}

// TestThreads checks how many threads a server has.
func TestThreads(t *testing.T) {
	for _, c := range []struct {
		given            string
		cores, now, want int
	}{{"", 2, 2, 4}, {"", 8, 3, 3}, {"2", 2, 2, 2}, {"9", 2, 9, 9}} {
		if got := threads(c.given, c.cores, c.now); got != c.want {
			t.Errorf("GOMAXPROCS=%s, %d cores, %d threads: %d, want %d", c.given, c.cores, c.now, got, c.want)
		}
	}
	if o := (store.Options{}).WithDefaults(); o.SlowSearches > max(1, runtime.NumCPU()-1) {
		t.Errorf("%d slow searches on %d cores", o.SlowSearches, runtime.NumCPU())
	}
}

// TestConnections checks how many connections are accepted for a limit of open files.
func TestConnections(t *testing.T) {
	for _, c := range []struct {
		files   uint64
		workers int
		given   int
		want    int // 0 for an error
	}{
		{0, 2, 0, server.DefaultConnections},
		{0, 2, 100_000, 100_000},
		{1 << 20, 2, 0, server.DefaultConnections},
		{1 << 63, 2, 0, server.DefaultConnections},
		{1024, 2, 0, 440},
		{1024, 2, 440, 440},
		{1024, 2, 441, 0},
		{256, 2, 0, 64},
		{256, 100, 0, 64},
	} {
		got, err := (&limitsFlags{Connections: c.given}).connections(c.files, c.workers)
		if got != c.want || (err == nil) != (c.want != 0) {
			t.Errorf("%d of %d files: %d, %v; want %d", c.given, c.files, got, err, c.want)
		}
	}
}

// TestLimitsAreDocumented checks that the table of limits in docs/operating.md has each option
// that limits something, with its default.
func TestLimitsAreDocumented(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "operating.md"))
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]string{} // the default of each option
	for line := range strings.Lines(string(page)) {
		if cells := strings.Split(line, "|"); len(cells) == 7 && strings.HasPrefix(cells[1], " `--") {
			rows[strings.Trim(cells[1], " `")] = strings.ReplaceAll(cells[2], " ", "")
		}
	}
	var c cli
	parser, err := kong.New(&c, valueOptions()...)
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, command := range parser.Model.Children {
		for _, flag := range command.Flags {
			name := "--" + flag.Name
			known[name] = true
			written, listed := rows[name]
			if command.Name == "serve" && flag.Group != nil && flag.Group.Title == "Limits" && !listed {
				t.Errorf("%s has no row in the table of limits", name)
			}
			if command.Name == "serve" && listed && flag.HasDefault && flag.Default != "0" && written != flag.Default {
				t.Errorf("%s has the default %s, and the table says %s", name, flag.Default, written)
			}
		}
	}
	for name := range rows {
		if !known[name] {
			t.Errorf("the table of limits has %s, which does not exist", name)
		}
	}
}

// TestDefaultRate checks that the default rate applies if other machines can reach the server,
// directly or through a proxy.
func TestDefaultRate(t *testing.T) {
	given := 7.0
	for _, test := range []struct {
		serve serveCmd
		want  float64
	}{
		{serveCmd{Listen: "localhost:8080"}, 0},
		{serveCmd{Listen: "127.0.0.1:8080"}, 0},
		{serveCmd{Listen: "localhost:8080", BehindProxy: true}, server.DefaultRate},
		{serveCmd{Listen: "10.0.0.5:8080"}, server.DefaultRate},
		{serveCmd{Listen: "10.0.0.5:8080", BehindProxy: true}, server.DefaultRate},
		{serveCmd{Listen: "localhost:8080", BehindProxy: true, limitsFlags: limitsFlags{Rate: &given}}, given},
	} {
		if got := test.serve.serverLimits().Rate; got != test.want {
			t.Errorf("--listen %s --behind-proxy=%t: %g requests per second, want %g", test.serve.Listen, test.serve.BehindProxy, got, test.want)
		}
	}
}

// TestTrustedProxies checks the forms of --trusted-proxy.
func TestTrustedProxies(t *testing.T) {
	for given, want := range map[string]string{
		"10.0.0.0/24":                      "[10.0.0.0/24]",
		"10.0.0.9/24,2001:db8::1":          "[10.0.0.0/24 2001:db8::1/128]",
		"192.0.2.1":                        "[192.0.2.1/32]",
		"::ffff:10.0.0.0/120,fe80::1%eth0": "[10.0.0.0/24 fe80::1/128]",
		"proxy.example":                    "write a network",
		"10.0.0.0/33":                      "write a network",
		"0.0.0.0/0":                        "name the proxies only",
		"::/0":                             "name the proxies only",
		"::ffff:0.0.0.0/96":                "name the proxies only",
	} {
		var c cli
		parser, err := kong.New(&c, valueOptions()...)
		if err != nil {
			t.Fatal(err)
		}
		_, err = parser.Parse([]string{"serve", "--data=d", "--behind-proxy", "--trusted-proxy=" + given})
		if got := fmt.Sprint(c.Serve.trustedProxies()); err == nil && got != want || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("--trusted-proxy=%s: %s, %v; want %s", given, got, err, want)
		}
	}
	c := serveCmd{TrustedProxy: []proxyNetwork{{}}}
	if err := kong.ApplyDefaults(&c, valueOptions()...); err == nil || !strings.Contains(err.Error(), "--behind-proxy") {
		t.Errorf("--trusted-proxy without --behind-proxy: %v", err)
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

// TestValues checks the forms of durations and sizes in options.
func TestValues(t *testing.T) {
	var c cli
	parser, err := kong.New(&c, valueOptions()...)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parser.Parse([]string{"serve", "--data=d", "--retention=7d", "--page-life=1h30m", "--part-bytes=256MB", "--max-body=2 MiB", "--max-header=32768",
		"--audit-size=1GiB", "--drain-delay=0s"}); err != nil {
		t.Fatal(err)
	}
	s := c.Serve
	if s.Retention != 7*24*time.Hour || s.PageLife != 90*time.Minute || s.PartBytes != 256_000_000 || s.MaxBody != 2<<20 || s.MaxHeader != 32768 ||
		s.AuditSize != 1024 || s.DrainDelay == nil || *s.DrainDelay != 0 {
		t.Errorf("the options are %+v", s)
	}
	for _, given := range []string{"--retention=7", "--retention=a week", "--part-bytes=256M", "--max-body=-1", "--audit-size=lots", "--max-url=99999999TB"} {
		if _, err := parser.Parse([]string{"serve", "--data=d", given}); err == nil || !strings.Contains(err.Error(), "write a ") {
			t.Errorf("%s: %v", given, err)
		}
	}
}

// TestMegaBytes checks sizes whose number without a unit is in megabytes.
func TestMegaBytes(t *testing.T) {
	for text, want := range map[string]int64{"100": 100, "0": 0, "100MiB": 100, "100MB": 96, "1B": 1, "1GB": 954} {
		if got, err := parseMegaBytes(text); err != nil || got != want {
			t.Errorf("parseMegaBytes(%q) = %d, %v, want %d", text, got, err, want)
		}
	}
}
