package load

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/valyala/fastjson"
)

// This file reads Bundles of any length twice: first for their fullUrls, then to load their
// entries. A file is opened a second time. Any other input is first copied to a temporary
// file.

// readBundlesTwice reads the Bundles of an input whose first pass has not begun: plain is its
// text from the start.
func (s *inputReader) readBundlesTwice(ctx context.Context, in Input, plain io.Reader) error {
	if in.Again {
		if err := s.readAhead(ctx, in); err != nil {
			return err
		}
		return s.readBundles(in.Name, plain)
	}
	copied, err := spool(plain)
	if err != nil {
		return fmt.Errorf("copy %s, a Bundle that is read twice, to a temporary file: %w: make space, or set another folder for temporary files (TMPDIR)", in.Name, err)
	}
	defer copied.remove()
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.urls, err = mapBundles(ctx, in.Name, copied.file); err != nil {
		return err
	}
	text, err := copied.again()
	if err != nil {
		return fmt.Errorf("read the copy of %s: %w", in.Name, err)
	}
	return s.readBundles(in.Name, text)
}

// readAhead maps the Bundles of an input that can be opened again.
func (s *inputReader) readAhead(ctx context.Context, in Input) error {
	file, err := in.Open()
	if err != nil {
		return &brokenInput{in.Name, 0, nil, err}
	}
	defer file.Close()
	plain, _, err := decompressed(bufio.NewReaderSize(file, 1<<16))
	if err != nil {
		return &brokenInput{in.Name, 0, nil, err}
	}
	s.urls, err = mapBundles(ctx, in.Name, plain)
	return err
}

// mapBundles reads the Bundles of an input and returns the map of each. It reads as far as it
// can: what is wrong with the input shows when its entries are loaded. The only error is that
// of ctx.
func mapBundles(ctx context.Context, name string, r io.Reader) (maps []*fullURLs, err error) {
	var parser fastjson.Parser
	var budget fullURLBudget
	first := &inputReader{}
	first.opened = func() { maps = append(maps, nil) }
	first.emit = func(p piece) error {
		if !p.entry || p.refusal != nil || len(maps) == 0 {
			return ctx.Err()
		}
		if e, err := parser.ParseBytes(p.text); err == nil {
			last := len(maps) - 1
			maps[last] = maps[last].add(e, &budget)
		}
		return ctx.Err()
	}
	_ = first.readBundles(name, r)
	return maps, ctx.Err()
}

// spooled is the copy of an input in a temporary file.
type spooled struct {
	file *os.File
	err  error // with which the input ended, other than io.EOF
}

// spool copies an input. An error is that of the copy; one of the input is part of it.
func spool(r io.Reader) (_ *spooled, err error) {
	file, err := os.CreateTemp("", "muster-load-*.json") // only this user can read it
	if err != nil {
		return nil, err
	}
	c := &spooled{file: file}
	_ = os.Remove(file.Name()) // so that a killed load leaves no copy; fails on Windows
	defer func() {
		if err != nil {
			c.remove()
		}
	}()
	source := &failing{r: r}
	if _, err := io.Copy(file, source); err != nil && source.err == nil {
		return nil, err
	}
	c.err = source.err
	_, err = file.Seek(0, io.SeekStart)
	return c, err
}

// again returns a reader of the copy from its start, which ends as the input did.
func (c *spooled) again() (io.Reader, error) {
	if _, err := c.file.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	if c.err == nil {
		return c.file, nil
	}
	return io.MultiReader(c.file, &failing{err: c.err}), nil
}

func (c *spooled) remove() { _ = errors.Join(c.file.Close(), os.Remove(c.file.Name())) }

// failing is a reader that remembers its error.
type failing struct {
	r   io.Reader
	err error
}

// Read implements io.Reader.
func (f *failing) Read(p []byte) (n int, err error) {
	if f.err != nil {
		return 0, f.err
	}
	n, err = f.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		f.err = err
	}
	return n, err
}
