package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"muster/internal/report"
)

// reportCmd is `muster report`.
type reportCmd struct {
	Paths []string `arg:"" name:"path" help:"NDJSON files (.ndjson, .ndjson.gz), or folders that hold them."`
	HTML  string   `name:"html" help:"Also write one self-contained HTML page." placeholder:"FILE"`
	Title string   `help:"Title of the HTML page." default:"A provider directory in pictures"`
	JSON  bool     `name:"json" help:"Print JSON instead of text."`
}

// Run reads the records once and prints what they show.
func (c reportCmd) Run(a app) error {
	r, err := report.Collect(a.ctx, report.Files(c.Paths...))
	if err != nil {
		return err
	}
	if c.HTML != "" {
		if err := writePage(r, c.HTML, c.Title); err != nil {
			return fmt.Errorf("report: writing %s: %w", c.HTML, err)
		}
	}
	if c.JSON {
		lines := json.NewEncoder(a.stdout)
		lines.SetIndent("", "  ")
		return lines.Encode(r)
	}
	return r.Text(a.stdout)
}

func writePage(r *report.Report, name, title string) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	return errors.Join(r.HTML(f, title), f.Close())
}
