package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"muster/internal/humanize"
	"muster/internal/load"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"
)

// loadProgress shows how far a load is.
type loadProgress interface {
	load.Progress
	end()
}

// newLoadProgress shows a bar on a terminal, and a plain line now and then
// elsewhere.
func newLoadProgress(w io.Writer) loadProgress {
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return &barProgress{container: mpb.New(mpb.WithOutput(f), mpb.WithWidth(60))}
	}
	return &lineProgress{w: w, now: time.Now, next: time.Now().Add(lineEvery)}
}

// lineEvery is the pause between two plain lines.
const lineEvery = 10 * time.Second

// lineProgress writes plain lines.
type lineProgress struct {
	w    io.Writer
	now  func() time.Time
	next time.Time
}

// Loaded implements load.Progress.
func (p *lineProgress) Loaded(at load.Position) {
	now := p.now()
	if now.Before(p.next) {
		return
	}
	p.next = now.Add(lineEvery)
	share := ""
	if at.Total > 0 {
		share = fmt.Sprintf(", %d %% of the input", 100*at.Bytes/at.Total)
	}
	humanize.NewPrinter().Fprintf(p.w, "%d resources read%s (%s)\n", at.Summary.Read, share, at.Input)
}

func (p *lineProgress) end() {}

// barProgress draws a bar over the bytes of the input, or over nothing when their
// number is not known.
type barProgress struct {
	container *mpb.Progress
	bar       *mpb.Bar
}

// Loaded implements load.Progress.
func (p *barProgress) Loaded(at load.Position) {
	if p.bar == nil {
		p.bar = p.container.AddBar(max(at.Total, 0),
			mpb.PrependDecorators(decor.CountersKibiByte("% .1f / % .1f")),
			mpb.AppendDecorators(decor.AverageSpeed(decor.SizeB1024(0), "% .1f"), decor.Name(" "), decor.AverageETA(decor.ET_STYLE_GO)),
		)
	}
	p.bar.SetCurrent(at.Bytes)
}

// end leaves the bar as it stands and gives the terminal back.
func (p *barProgress) end() {
	if p.bar != nil {
		p.bar.Abort(false)
	}
	p.container.Wait()
}
