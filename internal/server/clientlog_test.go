package server

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/time/rate"
)

// TestFailedHandshakesAreFew opens many connections to a port with TLS that send something else. Few of
// them have a line in the log, and the client that follows is served.
func TestFailedHandshakesAreFew(t *testing.T) {
	u := startServer(t)
	address, config := startTLS(t, u)
	const failures = 3 * clientLinesAtOnce
	start := time.Now()
	for range failures {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Write([]byte("\x00no TLS, no HTTP\r\n\r\n")); err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, c)
		_ = c.Close()
	}
	c, err := tls.Dial("tcp", address, config)
	if err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
	most := clientLinesAtOnce + int(time.Since(start).Seconds())*clientLinesPerSecond + 1
	if got := strings.Count(u.log.String(), "TLS handshake failed"); got == 0 || got > most {
		t.Errorf("%d lines for %d failed handshakes, want 1 to %d", got, failures, most)
	}
}

// TestClientLog writes more lines than a log takes. The next line has the number of those left out,
// also with attributes and a group.
func TestClientLog(t *testing.T) {
	var text bytes.Buffer
	log := ClientLog(slog.New(slog.NewJSONHandler(&text, nil)))
	few := log.Handler().(*clientHandler).few
	few.limiter = rate.NewLimiter(rate.Every(time.Hour), 2)
	for range 5 {
		log.With("listener", "metrics").Warn("refused")
	}
	few.limiter.SetBurst(3)
	few.limiter.SetLimit(rate.Inf)
	log.WithGroup("g").Warn("refused")
	log.Log(context.Background(), slog.LevelDebug, "not written")
	var lines []map[string]any
	for decoder := json.NewDecoder(&text); decoder.More(); {
		var line map[string]any
		if err := decoder.Decode(&line); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, line)
	}
	if len(lines) != 3 || lines[0]["listener"] != "metrics" || lines[1]["left_out"] != nil || lines[2]["g"].(map[string]any)["left_out"] != 3.0 {
		t.Errorf("the lines are %v", lines)
	}
}
