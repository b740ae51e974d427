package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"

	"muster/internal/humanize"
)

// plainLineInterval is the time between two plain lines of a [progress].
const plainLineInterval = 10 * time.Second

// progress shows how far a command is: with a bar for each stage on a terminal, and with a
// plain line every ten seconds elsewhere.
type progress struct {
	w    io.Writer
	now  func() time.Time
	next time.Time // of the next plain line

	bars  *mpb.Progress // nil unless w is a terminal
	bar   *mpb.Bar      // of the current stage
	stage string
	brief bool // the bar of the current stage is removed at its end
}

// stageProgress is the progress of one stage of a command.
type stageProgress struct {
	stage string
	done  int64
	total int64  // zero or less if it is not known
	bytes bool   // done and total are numbers of bytes
	line  string // the plain line; by default stage and done
}

func newProgress(w io.Writer) *progress {
	p := &progress{w: w, now: time.Now, next: time.Now().Add(plainLineInterval)}
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		p.bars = mpb.New(mpb.WithOutput(f), mpb.WithWidth(60))
	}
	return p
}

// count reports that a stage whose total is not known has processed done things.
func (p *progress) count(stage string, done int64) {
	p.report(stageProgress{stage: stage, done: done})
}

// share reports that a stage has processed done of total things.
func (p *progress) share(stage string, done, total int64) {
	p.report(stageProgress{stage: stage, done: done, total: max(total, 1)})
}

// report shows the progress of a stage.
func (p *progress) report(at stageProgress) {
	if p.bars == nil {
		p.reportLine(at)
		return
	}
	if p.bar == nil || at.stage != p.stage {
		p.endStage()
		p.stage, p.bar, p.brief = at.stage, p.newBar(at), !at.bytes && at.total <= 0
	}
	if at.total > 0 {
		p.bar.SetTotal(at.total, false)
	}
	p.bar.SetCurrent(at.done)
}

// reportLine writes a plain line if the interval since the last one has passed.
func (p *progress) reportLine(at stageProgress) {
	now := p.now()
	if now.Before(p.next) {
		return
	}
	p.next = now.Add(plainLineInterval)
	out := humanize.NewPrinter() // separates thousands
	switch {
	case at.line != "":
		fmt.Fprintln(p.w, at.line)
	case at.total > 0:
		fmt.Fprintf(p.w, "%s: %d %%\n", at.stage, 100*at.done/at.total)
	default:
		out.Fprintf(p.w, "%s: %d\n", at.stage, at.done)
	}
}

// newBar adds the bar of a stage: a number alone if the total is not known.
func (p *progress) newBar(at stageProgress) *mpb.Bar {
	switch {
	case at.bytes:
		return p.bars.AddBar(max(at.total, 0),
			mpb.PrependDecorators(decor.Name(at.stage+" "), decor.CountersKibiByte("%.1f / %.1f")),
			mpb.AppendDecorators(decor.AverageSpeed(decor.SizeB1024(0), "%.1f"), decor.Name(" "), decor.AverageETA(decor.ET_STYLE_GO)))
	case at.total > 0:
		return p.bars.AddBar(at.total,
			mpb.PrependDecorators(decor.Name(at.stage)),
			mpb.AppendDecorators(decor.Percentage(), decor.Name(" "), decor.AverageETA(decor.ET_STYLE_GO)))
	default:
		return p.bars.New(0, mpb.NopStyle(), mpb.PrependDecorators(decor.Any(func(s decor.Statistics) string {
			return humanize.NewPrinter().Sprintf("%s: %d", at.stage, s.Current)
		})))
	}
}

// endStage stops the bar of the stage. A bar stays on the terminal; a number alone is
// removed.
func (p *progress) endStage() {
	if p.bar != nil {
		p.bar.Abort(p.brief)
	}
}

// end stops the display. It must be called once.
func (p *progress) end() {
	if p.bars == nil {
		return
	}
	p.endStage()
	p.bars.Wait()
}
