package server

import (
	"context"
	"log/slog"
	"sync"

	"golang.org/x/time/rate"
)

// The lines that [ClientLog] writes.
const (
	clientLinesPerSecond = 1
	clientLinesAtOnce    = 20
)

// ClientLog returns a logger for what clients can cause without a request, such as a TLS handshake
// that fails. It writes at most 20 lines at once and one per second after that, so that clients
// neither fill the disk of the log nor keep the server busy with it. The next line has the number of
// those left out as left_out. Safe for use by several goroutines.
func ClientLog(log *slog.Logger) *slog.Logger {
	return slog.New(&clientHandler{Handler: log.Handler(), few: &fewLines{limiter: rate.NewLimiter(clientLinesPerSecond, clientLinesAtOnce)}})
}

// clientHandler is the handler of [ClientLog].
type clientHandler struct {
	slog.Handler
	few *fewLines // shared by the handlers of one logger
}

// Handle implements [slog.Handler].
func (h *clientHandler) Handle(ctx context.Context, r slog.Record) error {
	leftOut, ok := h.few.take()
	if !ok {
		return nil
	}
	if leftOut > 0 {
		r.AddAttrs(slog.Int("left_out", leftOut))
	}
	return h.Handler.Handle(ctx, r)
}

// WithAttrs implements [slog.Handler].
func (h *clientHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &clientHandler{Handler: h.Handler.WithAttrs(attrs), few: h.few}
}

// WithGroup implements [slog.Handler].
func (h *clientHandler) WithGroup(name string) slog.Handler {
	return &clientHandler{Handler: h.Handler.WithGroup(name), few: h.few}
}

// fewLines limits lines.
type fewLines struct {
	limiter *rate.Limiter

	mu      sync.Mutex
	leftOut int
}

// take reports whether a line may be written, and how many were left out before it.
func (f *fewLines) take() (leftOut int, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.limiter.Allow() {
		f.leftOut++
		return 0, false
	}
	leftOut, f.leftOut = f.leftOut, 0
	return leftOut, true
}
