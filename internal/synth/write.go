package synth

import (
	"context"
	"fmt"
	"io"
	"sync"
)

// chunkRecords is how many records a worker makes at a time: a few megabytes.
const chunkRecords = 2048

// Write writes all records of one of [Types], as of day 0, as NDJSON, and
// returns how many there were. It is safe to call from several goroutines. An
// unknown type, a failing writer and a cancelled context are errors.
func (p *Plan) Write(ctx context.Context, fhirType string, w io.Writer) (int, error) {
	for k, name := range Types {
		if name == fhirType {
			return p.writeKind(ctx, kind(k), w)
		}
	}
	return 0, fmt.Errorf("type %q: want one of %v", fhirType, Types)
}

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

// inChunks calls line for 0 to n-1, each of which appends to an encoder, in
// several goroutines, and writes what they appended in order.
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
			case order <- chunk: // waits while enough chunks are being made
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
