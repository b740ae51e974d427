package main

import (
	"bytes"
	"testing"
	"time"

	"github.com/vbauerster/mpb/v8"
)

// TestPlainProgress checks the lines that are written where there is no terminal, at most
// one in each interval.
func TestPlainProgress(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	var out bytes.Buffer
	p := newProgress(&out)
	p.now, p.next = func() time.Time { return now }, now.Add(plainLineInterval)
	p.count("rows", 1)
	now = now.Add(plainLineInterval)
	p.count("rows", 12_345)
	p.count("rows", 12_346)
	now = now.Add(plainLineInterval)
	p.share("files", 1, 4)
	now = now.Add(plainLineInterval)
	p.share("nothing", 0, 0)
	now = now.Add(plainLineInterval)
	p.report(stageProgress{stage: "loading", done: 1, total: 2, bytes: true, line: "5 resources read"})
	p.end()
	if want := "rows: 12,345\nfiles: 25 %\nnothing: 0 %\n5 resources read\n"; out.String() != want {
		t.Errorf("the lines are\n%swant\n%s", out.String(), want)
	}
}

// TestTerminalProgress checks that the display of each kind of stage ends, also when a
// total is not reached or not known.
func TestTerminalProgress(t *testing.T) {
	var out bytes.Buffer
	p := newProgress(&out)
	p.bars = mpb.New(mpb.WithOutput(&out), mpb.WithAutoRefresh())
	p.count("rows", 12_345)
	p.share("files", 1, 4)
	p.report(stageProgress{stage: "loading", done: 1 << 20, total: 2 << 20, bytes: true})
	p.report(stageProgress{stage: "standard input", done: 1 << 20, total: -1, bytes: true})
	time.Sleep(300 * time.Millisecond) // more than the interval between two frames
	p.end()
	for _, want := range []string{"rows: 12,345", "files", "1.0MiB / 2.0MiB", "standard input"} {
		if !bytes.Contains(out.Bytes(), []byte(want)) {
			t.Errorf("the terminal does not show %q:\n%q", want, out.String())
		}
	}
}
