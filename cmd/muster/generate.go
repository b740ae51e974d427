package main

import (
	"strconv"
	"time"

	"muster/internal/humanize"
	"muster/internal/synth"
)

// generateCmd is `muster generate`.
type generateCmd struct {
	Scale            synth.Scale `help:"Size: a number from 0.05 to 500, or demo (1), ci (5), state (60), national (250), stress (500). Scale 1 is about 20,000 records." default:"1" placeholder:"N"`
	Seed             uint64      `help:"Another seed makes another country; the same seed always the same one." default:"42" placeholder:"S"`
	Out              string      `help:"Folder for the files; must be empty or not there." required:"" placeholder:"DIR"`
	Days             int         `help:"Also write this many days of changes, 0 to 366." default:"0" placeholder:"D"`
	Dirty            bool        `help:"Add 2 % broken records, described in truth/dirty.jsonl."`
	ValidCheckDigits bool        `help:"Right check digits for ABN, ACN and Medicare provider numbers. They may belong to somebody."`
}

// Run writes the data set and says what it wrote.
func (c generateCmd) Run(a app) error {
	start := time.Now()
	manifest, err := synth.Generate(a.ctx, c.Out, synth.Options{
		Scale: c.Scale, Seed: c.Seed, Days: c.Days, Dirty: c.Dirty, ValidCheckDigits: c.ValidCheckDigits,
	})
	if err != nil {
		return err
	}
	out := humanize.NewPrinter()
	var size int64
	var records int
	for _, f := range manifest.Files {
		size += f.Bytes
		if f.Type != "" {
			records += f.Count
			out.Fprintf(a.stdout, "%-40s %12d\n", f.Path, f.Count)
		}
	}
	out.Fprintf(a.stdout, "%d records, scale %v, seed %s, in %s\n", records, c.Scale, strconv.FormatUint(c.Seed, 10), c.Out)
	out.Fprintf(a.stderr, "%.1f MB written in %.1f s\n", float64(size)/1e6, time.Since(start).Seconds())
	return nil
}
