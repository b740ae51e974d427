package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"
)

// amountProgress shows how much of a stage of some work is done: a bar on a
// terminal, a plain line now and then elsewhere.
type amountProgress struct {
	w         io.Writer
	container *mpb.Progress
	bar       *mpb.Bar
	stage     string
	next      time.Time
}

func newAmountProgress(w io.Writer) *amountProgress {
	p := &amountProgress{w: w, next: time.Now().Add(lineEvery)}
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		p.container = mpb.New(mpb.WithOutput(f), mpb.WithWidth(60))
	}
	return p
}

// at notes how much of the stage is done.
func (p *amountProgress) at(stage string, done, total int64) {
	if p.container == nil {
		if now := time.Now(); now.After(p.next) {
			p.next = now.Add(lineEvery)
			fmt.Fprintf(p.w, "%s: %d %%\n", stage, 100*done/max(total, 1))
		}
		return
	}
	if stage != p.stage {
		p.stage = stage
		p.bar = p.container.AddBar(total, mpb.PrependDecorators(decor.Name(stage)),
			mpb.AppendDecorators(decor.Percentage(), decor.Name(" "), decor.AverageETA(decor.ET_STYLE_GO)))
	}
	p.bar.SetTotal(total, false)
	p.bar.SetCurrent(done)
}

// end leaves the bars as they stand and gives the terminal back.
func (p *amountProgress) end() {
	if p.container == nil {
		return
	}
	if p.bar != nil {
		p.bar.Abort(false)
	}
	p.container.Wait()
}
