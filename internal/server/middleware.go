package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"muster/internal/audit"
	"muster/internal/auth"
	"muster/internal/client"
	"muster/internal/fhir"
	"muster/internal/requestid"

	"github.com/google/uuid"
)

// The timeouts of a request.
const (
	requestTimeout  = 30 * time.Second // to read a request and compute its response
	bodyTimeout     = 10 * time.Second // to read a body whose content is ignored
	progressTimeout = time.Minute      // for a client to read the next progressStep bytes of a file
	progressStep    = 256 << 10
)

// requestState is the state of a request that middleware, routes and handlers share.
type requestState struct {
	id      string // X-Request-ID: the client's, or a generated one
	refused error  // why the request is rejected before its handler runs, or nil
	route   string
	cause   error // the internal cause of a failure

	address   netip.Addr     // of the client; behind a proxy, as the proxy says
	principal auth.Principal // anonymous until the token is verified
	from      client.Client  // who the limits count for
	event     audit.Event    // filled in by the handlers (audit.go)
}

type requestStateKey struct{}

// stateOf returns the state of a request, which the middleware has put into the context.
func stateOf(r *http.Request) *requestState {
	if x, ok := r.Context().Value(requestStateKey{}).(*requestState); ok {
		return x
	}
	return &requestState{}
}

// middleware handles what all requests have in common: an id (HD-01 to HD-03), the headers of
// security (HD-04), the address of the client, panics, and a line in the log.
func (s *Server) middleware(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		end := beginRequest(r)
		start := s.Now()
		x := s.newRequestState(r)
		r = r.WithContext(context.WithValue(requestid.With(r.Context(), x.id), requestStateKey{}, x))
		s.locate(r, x)
		r = s.actAs(r, auth.Anonymous)
		out := &responseRecorder{ResponseWriter: w, control: http.NewResponseController(w), draining: &s.draining}
		defer out.end()
		out.extendWriteDeadline()
		out.Header().Set("X-Request-ID", x.id)
		s.setSecurityHeaders(out.Header(), r)
		checkFraming(out, x, end)
		defer func() {
			problem := recover()
			if problem != nil {
				s.answerPanic(out, r, problem)
			}
			took := s.Now().Sub(start)
			if !isSuccessfulProbe(x, out) {
				path := audit.Path(r.URL.Path, out.status, !isUnrouted(x))
				s.logRequest(r, x, out, path, took)
				s.recordAudit(r, x, out, path, start, took)
			}
			if s.Observer != nil {
				s.Observer.Request(x.route, r.Method, out.status, took, out.bytes)
			}
			if out.broken || isAbort(problem) {
				panic(http.ErrAbortHandler) // the only way to abort a response
			}
		}()
		next.ServeHTTP(out, r)
	})
}

// isSuccessfulProbe reports whether a request of a monitoring system succeeded. There is one
// every few seconds, and it concerns no data, so it is neither logged nor audited.
func isSuccessfulProbe(x *requestState, out *responseRecorder) bool {
	return (x.event.Interaction == audit.Health || x.event.Interaction == audit.Metrics) && out.status == http.StatusOK
}

// newRequestState reads the request id or generates one, and checks the limits of the
// request.
func (s *Server) newRequestState(r *http.Request) *requestState {
	given := r.Header.Values("X-Request-ID")
	if len(given) == 1 && len(given[0]) == 36 && uuid.Validate(given[0]) == nil {
		return &requestState{id: given[0], refused: s.Limits.check(r)}
	}
	x := &requestState{id: uuid.NewString()}
	if len(given) > 0 && s.RequestIDStrict {
		x.refused = fhir.Issue{Code: fhir.CodeInvalid, Diagnostics: "The header X-Request-ID is not a single UUID: write it as xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx, or omit it."}
	}
	if err := s.Limits.check(r); err != nil {
		x.refused = err
	}
	return x
}

// isAbort reports whether a recovered value is http.ErrAbortHandler.
func isAbort(problem any) bool {
	err, ok := problem.(error)
	return ok && errors.Is(err, http.ErrAbortHandler)
}

// answerPanic answers a panic with 500, or aborts a response that has begun.
func (s *Server) answerPanic(out *responseRecorder, r *http.Request, problem any) {
	if isAbort(problem) {
		return
	}
	err := fmt.Errorf("panic: %v\n%s", problem, debug.Stack())
	if out.status != 0 {
		stateOf(r).cause = err
		out.broken = true
		s.Logger.LogAttrs(r.Context(), slog.LevelError, "response aborted", slog.String("request_id", stateOf(r).id), slog.Any("cause", err))
		return
	}
	s.writeOutcome(out, r, err)
}

// logRequest logs one line for each request. Queries and headers are left out, since they
// may hold job ids and tokens (AD-02).
func (s *Server) logRequest(r *http.Request, x *requestState, out *responseRecorder, path string, took time.Duration) {
	attrs := []slog.Attr{
		slog.String("request_id", x.id),
		slog.String("principal", x.principal.ID),
		slog.String("method", r.Method),
		slog.String("path", path),
		slog.String("route", x.route),
		slog.Int("status", out.status),
		slog.Int64("bytes", out.bytes),
		slog.Duration("took", took),
	}
	s.Logger.LogAttrs(r.Context(), slog.LevelInfo, "request", attrs...)
}

// withDeadline runs a handler with the timeout of a request. A download may take longer,
// as long as it makes progress, which responseRecorder enforces.
func (s *Server) withDeadline(w http.ResponseWriter, r *http.Request, route route, serve func(*http.Request) error) error {
	// This uses the wall clock instead of Config.Now: it is a deadline of the connection,
	// which net/http resets before the next request. Only writers of tests have no deadlines.
	control := http.NewResponseController(w)
	if route.stream {
		_ = control.SetReadDeadline(time.Now().Add(s.bodyTimeout)) // discardBody removes it
		return serve(r)
	}
	_ = control.SetReadDeadline(time.Now().Add(requestTimeout))
	ctx, cancel := context.WithTimeout(r.Context(), requestTimeout)
	defer cancel()
	return serve(r.WithContext(ctx))
}

// discardBody reads the body of a download request and then removes the read deadline,
// which would end the request during the download. Until the body is complete the
// deadline remains, so that a client that never sends it cannot hold the connection.
func discardBody(w http.ResponseWriter, r *http.Request, limit int64) error {
	if err := copyBody(io.Discard, w, r, limit); err != nil {
		return err
	}
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
	return nil
}

// responseRecorder records status and length of a response, and extends the write
// deadline as long as the client continues to read.
type responseRecorder struct {
	http.ResponseWriter
	control  *http.ResponseController
	draining *atomic.Bool // the server shuts down
	status   int
	bytes    int64
	broken   bool

	brokenOff atomic.Bool // other clients need what the request holds
	ending    sync.Mutex  // guards ended
	ended     bool        // the request has ended
}

// Unwrap lets http.ResponseController find the underlying writer.
func (w *responseRecorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// WriteHeader implements [http.ResponseWriter].
func (w *responseRecorder) WriteHeader(status int) {
	if w.status == 0 && status >= 200 {
		w.setStatus(status)
	}
	w.extendWriteDeadline()
	w.ResponseWriter.WriteHeader(status)
}

// setStatus records the status before the header is written. An HTTP/2 connection is closed by
// the same header field, in the way of HTTP/2.
func (w *responseRecorder) setStatus(status int) {
	w.status = status
	if w.draining.Load() {
		w.Header().Set("Connection", "close")
	}
}

// Write implements [http.ResponseWriter].
func (w *responseRecorder) Write(p []byte) (int, error) {
	w.begin()
	n, err := w.ResponseWriter.Write(p)
	w.bytes += int64(n)
	return n, err
}

// ReadFrom implements [io.ReaderFrom]. A file is sent in steps, and the deadline is extended with
// each of them.
func (w *responseRecorder) ReadFrom(from io.Reader) (total int64, err error) {
	limited, ok := from.(*io.LimitedReader)
	if !ok {
		return io.Copy(onlyWriter{w}, from)
	}
	for limited.N > 0 && err == nil {
		w.begin()
		var n int64
		n, err = io.CopyN(w.ResponseWriter, limited.R, min(limited.N, progressStep))
		limited.N -= n
		w.bytes += n
		total += n
		if errors.Is(err, io.EOF) {
			return total, nil // the source has ended
		}
	}
	return total, err
}

// begin is called before bytes of the body are written.
func (w *responseRecorder) begin() {
	if w.status == 0 {
		w.setStatus(http.StatusOK)
	}
	w.extendWriteDeadline()
}

// extendWriteDeadline extends the write deadline. The deadline belongs to the connection,
// not to the request: a remaining one would abort a later response on the same
// connection, so each response sets its own.
func (w *responseRecorder) extendWriteDeadline() {
	_ = w.control.SetWriteDeadline(time.Now().Add(progressTimeout))
	if w.brokenOff.Load() {
		w.breakOff()
	}
}

// onlyWriter hides ReadFrom.
type onlyWriter struct{ io.Writer }
