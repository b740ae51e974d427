package main

import (
	"errors"
	"io"
	"slices"
)

// closers are things to close, in the order in which they were opened.
type closers []io.Closer

// add appends what was opened last.
func (c *closers) add(opened io.Closer) { *c = append(*c, opened) }

// Close closes everything, in reverse order.
func (c *closers) Close() error {
	var errs []error
	for _, opened := range slices.Backward(*c) {
		errs = append(errs, opened.Close())
	}
	return errors.Join(errs...)
}
