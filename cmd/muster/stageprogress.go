package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"muster/internal/humanize"

	"golang.org/x/term"
)

// stageProgress shows which stage of some work goes on and how far it is, where
// the end of a stage is not known: one line that is written over on a terminal, a
// plain line now and then elsewhere.
type stageProgress struct {
	w        io.Writer
	terminal bool
	next     time.Time
	stage    string
}

func newStageProgress(w io.Writer) *stageProgress {
	p := &stageProgress{w: w, next: time.Now().Add(lineEvery)}
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		p.terminal, p.next = true, time.Time{}
	}
	return p
}

// at notes how many things of the stage are done.
func (p *stageProgress) at(stage string, done int64) {
	now := time.Now()
	if now.Before(p.next) && (stage == p.stage || !p.terminal) {
		return
	}
	p.stage = stage
	out := humanize.NewPrinter()
	if p.terminal {
		p.next = now.Add(100 * time.Millisecond)
		out.Fprintf(p.w, "\r\x1b[K%s: %d", stage, done)
		return
	}
	p.next = now.Add(lineEvery)
	out.Fprintf(p.w, "%s: %d\n", stage, done)
}

// end clears the line on a terminal.
func (p *stageProgress) end() {
	if p.terminal && p.stage != "" {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}
