package report

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"muster/internal/humanize"
)

// percent formats a share with one decimal.
func percent(n, of int) string {
	if of == 0 {
		return "–"
	}
	return fmt.Sprintf("%.1f %%", 100*float64(n)/float64(of))
}

// Text writes the report for a terminal of 100 columns.
func (r *Report) Text(w io.Writer) error {
	out := bufio.NewWriter(w)
	line := func(format string, args ...any) { fmt.Fprintf(out, format+"\n", args...) }
	line("%v", r)
	if r.Unreadable > 0 {
		line("%s lines or entries are not resources", humanize.Int(r.Unreadable))
	}
	r.textTypes(line)
	if len(r.Organizations) > 0 {
		line("\nLargest organisations, by roles")
		for _, o := range r.Organizations {
			line("%10s  %-4s %s", humanize.Int(o.Roles), o.State, shorten(o.Name, 70))
		}
	}
	textBars(line, "Roles per practitioner", r.RolesPer)
	textBars(line, "Age, from the newest record", r.Ages)
	line("\n%-26s %10s %10s %10s  %s", "Identifiers", "checked", "failed", "duplicate", "why")
	for _, i := range r.Identifiers {
		why := make([]string, len(i.Reasons))
		for j, reason := range i.Reasons {
			why[j] = reason.Label + " (" + humanize.Int(reason.Count) + ")"
		}
		line("%s", strings.TrimRight(fmt.Sprintf("%-26s %10s %10s %10s  %s", i.Name, humanize.Int(i.Checked), humanize.Int(i.Failed), humanize.Int(i.Duplicates), strings.Join(why, ", ")), " "))
	}
	r.textHidden(line)
	line("\nDangling references: %s", humanize.Int(r.dangling()))
	for _, d := range r.References {
		line("%10s  %s to %s, such as %s", humanize.Int(d.Count), d.From, d.To, d.Example)
	}
	r.textChanges(line)
	return out.Flush()
}

// textHidden writes the table of hidden records of a data directory.
func (r *Report) textHidden(line func(string, ...any)) {
	if len(r.Hidden) == 0 {
		return
	}
	line("\n%-18s %10s %10s %10s %10s %10s %10s", "Hidden", "suppressed", "inherited", "by organ.", "by pract.", "inactive", "inherited")
	for _, s := range r.Hidden {
		row := fmt.Sprintf("%-18s", s.Type)
		for _, n := range s.Values() {
			row += fmt.Sprintf(" %10s", humanize.Int(n))
		}
		line("%s", row)
	}
	if len(r.Hiders) == 0 {
		return
	}
	line("\nLargest suppressions, by what inherits them")
	for _, h := range r.Hiders {
		line("%10s  %s", humanize.Int(h.Count), strings.TrimRight(h.ID+"  "+shorten(h.Name, 40), " "))
	}
}

// textChanges writes the tables of changes.
func (r *Report) textChanges(line func(string, ...any)) {
	if r.Changes == nil {
		return
	}
	line("\nChanges since %s%s", r.Changes.Since.Format(time.RFC3339), r.Changes.note())
	rows := func(title string, list []ChangeRow) {
		row := fmt.Sprintf("%-29s", title)
		for _, kind := range r.Changes.Kinds {
			row += fmt.Sprintf(" %9s", shorten(kind, 9))
		}
		line("%s", row)
		for _, c := range list {
			row := fmt.Sprintf("%-29s", strings.TrimLeft(c.Day+" "+c.Type, " "))
			for _, n := range c.Counts {
				row += fmt.Sprintf(" %9s", humanize.Int(n))
			}
			line("%s", row)
		}
	}
	if len(r.Changes.Types) == 0 {
		line("none")
		return
	}
	rows("", r.Changes.Types)
	line("")
	rows("by day ("+r.Changes.Zone+")", r.Changes.Days)
}

// note says what is missing from the changes, if anything is.
func (c *Changes) note() string {
	if c.Complete {
		return ""
	}
	return ", when the change log begins: earlier changes are unknown"
}

// textTypes writes the table of types and states.
func (r *Report) textTypes(line func(string, ...any)) {
	columns := fmt.Sprintf("\n%-18s %9s %8s %8s", "", "total", "inactive", "suppr.")
	for _, s := range States {
		columns += fmt.Sprintf(" %7s", s)
	}
	line("%s", columns)
	for _, t := range r.Types {
		row := fmt.Sprintf("%-18s %9s %8s %8s", t.Type, humanize.Int(t.Total), humanize.Int(t.Inactive), humanize.Int(t.Suppressed))
		for _, n := range t.ByState {
			row += fmt.Sprintf(" %7s", humanize.Int(n))
		}
		line("%s", row)
	}
}

// textBars writes a chart of bars of at most forty characters.
func textBars(line func(string, ...any), title string, bars []Bar) {
	if len(bars) == 0 {
		return
	}
	line("\n%s", title)
	most, total := 1, 0
	for _, b := range bars {
		most, total = max(most, b.Count), total+b.Count
	}
	for _, b := range bars {
		bar := strings.Repeat("█", b.Count*40/most)
		line("%s", strings.TrimRight(fmt.Sprintf("%14s %10s %8s  %s", b.Label, humanize.Int(b.Count), percent(b.Count, total), bar), " "))
	}
}

// shorten cuts a text to n characters.
func shorten(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	return string([]rune(s)[:n-1]) + "…"
}

// dangling returns the number of dangling references.
func (r *Report) dangling() (n int) {
	for _, d := range r.References {
		n += d.Count
	}
	return n
}
