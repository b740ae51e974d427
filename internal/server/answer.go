package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"muster/internal/share"
)

// The memory that a request takes before its answer is known, and that of a download: its buffers
// and its decoder.
const (
	requestBytes  = 16 << 10
	downloadBytes = 192 << 10
)

// memoryWait is how long a request waits for memory.
const memoryWait = time.Second

// withMemory serves a request with an account for its memory (package share). The account counts
// until the answer is written. If other clients need the memory more, the answer is broken off.
func (s *Server) withMemory(w http.ResponseWriter, r *http.Request, serve func(*http.Request) error) error {
	ctx, cancel := context.WithCancelCause(r.Context())
	defer cancel(nil)
	evict := func() {
		cancel(share.ErrFull)
		if out, ok := w.(*responseRecorder); ok {
			out.breakOff()
		}
	}
	ctx, account := share.Open(ctx, s.memory, stateOf(r).from, memoryWait, evict)
	defer account.Close()
	if err := share.Reserve(ctx, requestBytes); err != nil {
		return err
	}
	err := serve(r.WithContext(ctx))
	if err != nil && errors.Is(context.Cause(ctx), share.ErrFull) {
		return share.ErrFull
	}
	return err
}

// downloadWait is the Retry-After for a client with too many downloads, in seconds.
const downloadWait = 5

// startDownload counts a download, which has a file open, until done is called. If other clients
// need the files more, it is broken off.
func (s *Server) startDownload(w http.ResponseWriter, r *http.Request) (done func(), err error) {
	limit := s.Limits.of(stateOf(r).principal.Policy).Downloads
	h, err := s.downloads.TakeWithin(stateOf(r).from, int64(limit), 1, func() {
		if out, ok := w.(*responseRecorder); ok {
			out.breakOff()
		}
	})
	if errors.Is(err, share.ErrLimit) {
		s.countRefusal(RefusedDownload)
		err = throttled(downloadWait, fmt.Sprintf("You are downloading %d files, which is the limit: wait for a download to end.", limit))
	}
	if err != nil {
		return nil, err
	}
	return h.Return, nil
}

// breakOff ends the reading of the request and the writing of the response, now and later. Other
// goroutines may call it. When the request has ended it does nothing: the connection may serve
// another one, and net/http does not allow that a writer is used any more.
func (w *responseRecorder) breakOff() {
	w.ending.Lock()
	defer w.ending.Unlock()
	if w.ended {
		return
	}
	w.brokenOff.Store(true)
	past := time.Now().Add(-time.Second)
	_ = w.control.SetReadDeadline(past)
	_ = w.control.SetWriteDeadline(past)
}

// end notes that the request has ended.
func (w *responseRecorder) end() {
	w.ending.Lock()
	defer w.ending.Unlock()
	w.ended = true
}
