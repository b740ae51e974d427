package synth

import (
	"context"
	"fmt"
	"io"
	"sync"
)

// chunkRecords is the number of records in a chunk, a few megabytes.
const chunkRecords = 2048

// Write writes all records of one of [Types] on day 0 as NDJSON and returns their number.
// It is safe for use by several goroutines. It returns an error for an unknown type, a
// failing writer and a cancelled context.
func (p *Plan) Write(ctx context.Context, fhirType string, w io.Writer) (int, error) {
	for k, name := range Types {
		if name == fhirType {
			return p.writeKind(ctx, kind(k), w)
		}
	}
	return 0, fmt.Errorf("type %q: write one of %v", fhirType, Types)
}

// writeKind writes all records of a type, including broken ones.
func (p *Plan) writeKind(ctx context.Context, k kind, w io.Writer) (int, error) {
	broken := p.dirtyCount(k)
	err := p.inChunks(ctx, w, p.count[k], func(e *enc, i int) {
		r := p.original(k, i)
		p.render(e, &r)
		if n := i / dirtyEvery; i%dirtyEvery == dirtyEvery-1 && n < broken {
			r = p.dirty(k, n)
			p.render(e, &r)
		}
	})
	return p.count[k] + broken, err
}

// inChunks calls line for 0 to n-1 in several goroutines and writes the encoded records in
// order.
func (p *Plan) inChunks(ctx context.Context, w io.Writer, n int, line func(e *enc, i int)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	pool := sync.Pool{New: func() any { return new(enc) }}
	order := make(chan chan *enc, p.opts.workers())
	go func() {
		defer close(order)
		for start := 0; start < n; start += chunkRecords {
			chunk := make(chan *enc, 1)
			select {
			case order <- chunk: // limits the chunks in progress
			case <-ctx.Done():
				return
			}
			go func() {
				e := pool.Get().(*enc)
				e.b = e.b[:0]
				for i := start; i < min(start+chunkRecords, n); i++ {
					line(e, i)
				}
				chunk <- e
			}()
		}
	}()
	for chunk := range order {
		e := <-chunk
		if _, err := w.Write(e.b); err != nil {
			return err
		}
		pool.Put(e)
	}
	return ctx.Err()
}
