package main

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"muster/internal/export"
	"muster/internal/metrics"
	"muster/internal/server"
	"muster/internal/testkit"
	"muster/internal/testkit/pgtest"
)

// TestStartIsLogged starts servers on both databases, with a certificate. The log says what runs,
// where, and within which limits, contains no password, and has no line for a route or a probe.
func TestStartIsLogged(t *testing.T) {
	for name, database := range map[string]func() string{"SQLite": func() string { return "" }, "PostgreSQL": func() string { return pgtest.Database(t) }} {
		t.Run(name, func(t *testing.T) { testStartLog(t, database()) })
	}
}

func testStartLog(t *testing.T, database string) {
	dir := t.TempDir()
	data := filepath.Join(dir, "data")
	where := []string{"load", "--data", data}
	if database != "" {
		where = []string{"load", "--database", database}
	}
	const two = `{"resourceType":"Organization","id":"a","name":"A"}
{"resourceType":"Organization","id":"b","active":false,"name":"B"}
`
	a := app{ctx: t.Context(), stdin: strings.NewReader(two), stdout: io.Discard, stderr: io.Discard}
	if code := run(a, append(where, "-")); code != exitOK {
		t.Fatalf("load: %d", code)
	}
	var log testkit.Log
	a.stderr = &log
	c, err := (&demoCmd{}).server(data, "localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	c.Database, c.MetricsListen, c.BaseURL = database, "localhost:0", "https://localhost:8443/fhir"
	c.TLSCert, c.TLSKey, _ = writeCertificate(t, dir, 1)
	s, err := c.start(a)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.run(ctx) }()
	scrape, err := http.Get("http://" + s.metricsListener.Addr().String() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(scrape.Body)
	if err != nil {
		t.Fatal(err)
	}
	_ = scrape.Body.Close()
	for _, want := range []string{`muster_pool_used{pool="connections"} 0`, `muster_pool_largest{pool="memory"} 0`, `muster_pool_used{pool="downloads"} 0`,
		`muster_searches{lane="fast",state="waiting"} 0`, `muster_selections{lane="long",state="running"} 0`} {
		if !strings.Contains(string(text), want) {
			t.Errorf("%s is not among the metrics", want)
		}
	}
	for deadline := time.Now().Add(testkit.Patience); !strings.Contains(log.String(), "msg=resources") && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	for _, want := range []string{
		"msg=muster version=", " revision=", "msg=directory data=" + data, "max_body=1MiB", "requests_per_second=none", "searches=4", "retention=1h", "part_bytes=256MiB",
		"msg=certificate file=" + c.TLSCert + " expires=2", "msg=serving address=127.0.0.1:", "base_url=https://localhost:8443/fhir tls=true authentication=none",
		"msg=resources all=2 visible=1",
	} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("%q is not in the log:\n%s", want, log.String())
		}
	}
	if strings.Contains(log.String(), "msg=route") || strings.Contains(log.String(), "/metrics") {
		t.Errorf("the log has routes or probes:\n%s", log.String())
	}
	if shown := withoutPassword(database); database != "" && (!strings.Contains(log.String(), shown) || shown != database && strings.Contains(log.String(), database)) {
		t.Errorf("the log has the password, or not the database:\n%s", log.String())
	}
}

// TestMetricsStartAtZero checks that counters are present before the first event, with each value
// of their labels.
func TestMetricsStartAtZero(t *testing.T) {
	w := httptest.NewRecorder()
	metrics.New(metrics.Build{}).Handler(slog.New(slog.DiscardHandler)).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	text := w.Body.String()
	var want []string
	for _, limit := range []string{server.RefusedPoll, server.RefusedRate, server.RefusedDownload, server.RefusedSearch, server.RefusedJob} {
		want = append(want, `muster_http_refused_total{limit="`+limit+`"} 0`)
	}
	for _, what := range []string{export.RemovedExport, export.RemovedFile} {
		want = append(want, `muster_removed_total{what="`+what+`"} 0`)
	}
	for _, line := range append(want, `muster_jobs_ended_total{state="failed"} 0`, "muster_http_failures_total 0", "muster_audit_lost_total 0") {
		if !strings.Contains(text, line) {
			t.Errorf("%s is not among\n%s", line, text)
		}
	}
}
