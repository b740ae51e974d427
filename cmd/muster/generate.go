package main

import (
	"fmt"
	"strconv"
	"time"

	"muster/internal/humanize"
	"muster/internal/synth"
)

// generateCmd is `muster generate`.
type generateCmd struct {
	Scale            synth.Scale `help:"Size: a number from 0.05 to 500, or demo (1), ci (5), state (60), national (250) or stress (500). Scale 1 is about 20,000 records (${default})." default:"1" placeholder:"N"`
	Seed             uint64      `help:"Seed of the random generator. The same seed and scale always give the same data (${default})." default:"42" placeholder:"S"`
	Out              string      `help:"Folder for the files. It must be empty or not exist." required:"" placeholder:"DIR"`
	Days             int         `help:"Also write this many days of changes, from 0 to 366 (${default})." default:"0" placeholder:"D"`
	Dirty            bool        `help:"Add 2 % of invalid records, which truth/dirty.jsonl describes."`
	ValidCheckDigits bool        `help:"Use valid check digits in ABN, ACN and Medicare provider numbers. Such numbers may exist."`
}

// Run writes the data set and prints what it wrote.
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
	fmt.Fprintf(a.stderr, "%s written in %s\n", humanize.Bytes(size), humanize.Duration(time.Since(start)))
	return nil
}
