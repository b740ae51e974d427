package main

import (
	"errors"
	"fmt"
	"io"
	"time"

	"muster/internal/conformance"
	"muster/internal/fhir"
	"muster/internal/search/index"
	"muster/internal/store"

	"github.com/valyala/fastjson"
	"golang.org/x/text/language"
	"golang.org/x/text/message"
)

// reindexCmd is `muster reindex`.
type reindexCmd struct {
	Data     string `placeholder:"DIR" help:"Data directory whose index to make anew. It must not be served meanwhile."`
	Database string `placeholder:"URL" help:"PostgreSQL database whose index to make anew instead."`
	BaseURL  string `name:"base-url" placeholder:"URL" help:"Public base URL, for a directory that has none yet: absolute references below it are then found."`
}

// Validate wants a place.
func (c reindexCmd) Validate() error { return wantPlace(c.Data, c.Database) }

// Run makes the index of every stored resource anew. Cut off, it goes on from there
// the next time.
func (c reindexCmd) Run(a app) (err error) {
	if c.BaseURL != "" {
		if err := checkBaseURL(c.BaseURL); err != nil {
			return exitError{exitUsage, err}
		}
	}
	registry, err := conformance.Load()
	if err != nil {
		return err
	}
	directory, lock, err := openUnserved(a.ctx, c.Data, c.Database, store.Options{Expect: store.CreateInfo{BaseURL: c.BaseURL}})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Close(), directory.Close()) }()
	if c.BaseURL != "" {
		if err := directory.AdoptBaseURL(a.ctx, c.BaseURL); err != nil {
			return err
		}
	}
	extractor, err := index.NewExtractor(registry, directory.Info().BaseURL)
	if err != nil {
		return err
	}
	progress := reindexProgress{w: a.stderr, start: time.Now(), next: time.Now().Add(lineEvery)}
	if err := directory.Reindex(a.ctx, registry.DefinitionsHash(), extractLines(extractor), progress.done); err != nil {
		return fmt.Errorf("%w; run 'muster reindex' again, it goes on where it was cut off", err)
	}
	progress.end(a.stdout)
	return nil
}

// extractLines finds the entries of stored lines.
func extractLines(extractor *index.Extractor) store.Extract {
	var parser fastjson.Parser
	return func(dst []index.Entry, t fhir.Type, line []byte) ([]index.Entry, error) {
		v, err := parser.ParseBytes(line)
		if err != nil {
			return dst, fmt.Errorf("its stored line is damaged: load it again: %w", err)
		}
		return extractor.Extract(dst, t, v), nil
	}
}

// reindexProgress writes a plain line now and then.
type reindexProgress struct {
	w           io.Writer
	start, next time.Time
	n           int64
}

func (p *reindexProgress) done(n int64) {
	p.n = n
	if now := time.Now(); now.After(p.next) {
		p.next = now.Add(lineEvery)
		p.print(p.w, "%d resources indexed\n", n)
	}
}

func (p *reindexProgress) end(stdout io.Writer) {
	p.print(stdout, "%-10s %12d\n", "indexed", p.n)
	p.print(p.w, "%d resources in %.1f s\n", p.n, time.Since(p.start).Seconds())
}

func (p *reindexProgress) print(w io.Writer, format string, args ...any) {
	message.NewPrinter(language.English).Fprintf(w, format, args...) // separates thousands
}
