package main

import (
	"context"
	"io"
	"sync"
)

// endingReader reads what comes from another reader until ctx ends. A read from a terminal
// or a pipe, where nothing may come for ever, would not end with it.
type endingReader struct {
	ctx  context.Context
	from io.Reader

	start sync.Once
	pipe  *io.PipeReader
}

// Read implements [io.Reader]. Nothing is read from the other reader before its first call.
func (r *endingReader) Read(p []byte) (int, error) {
	r.start.Do(func() {
		var in *io.PipeWriter
		r.pipe, in = io.Pipe()
		go func() {
			_, err := io.Copy(in, r.from)
			in.CloseWithError(err)
		}()
		context.AfterFunc(r.ctx, func() { r.pipe.CloseWithError(context.Cause(r.ctx)) })
	})
	return r.pipe.Read(p)
}
