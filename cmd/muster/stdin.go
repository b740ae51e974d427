package main

import (
	"context"
	"io"
	"sync"
)

// contextReader reads from another reader until ctx ends. A read from a terminal or a
// pipe ignores the context and can block forever.
type contextReader struct {
	ctx  context.Context // of the whole command, since Read takes none
	from io.Reader

	start sync.Once
	pipe  *io.PipeReader
}

// Read implements [io.Reader]. The first call starts to read from the other reader.
func (r *contextReader) Read(p []byte) (int, error) {
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
