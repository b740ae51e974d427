package server

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"

	"muster/internal/audit"
	"muster/internal/auth"
	"muster/internal/fhir"

	"github.com/google/uuid"
)

// Limits of one request.
const (
	answerTime   = 30 * time.Second // to read a request and find its answer
	bodyTime     = 10 * time.Second // to read a body that is not looked at
	progressTime = time.Minute      // for a client to take the next progressStep bytes of a file
	progressStep = 256 << 10
)

// exchange is one request with its answer, for everything on the way.
type exchange struct {
	id      string // X-Request-ID: the client's, or ours
	refused error  // why the request is refused before its endpoint, or nil
	route   string
	cause   error       // what went wrong inside, for the log
	client  string      // whose limits count: the principal, or the address of an anonymous one
	event   audit.Event // what the endpoints note of it (audit.go)
}

type exchangeKey struct{}

// exchangeOf returns the exchange of a request. The middleware gives every
// request one.
func exchangeOf(r *http.Request) *exchange {
	if x, ok := r.Context().Value(exchangeKey{}).(*exchange); ok {
		return x
	}
	return &exchange{}
}

// middleware does what every request needs: an id (HD-01 to HD-03), no-store
// (HD-04), a principal, an answer to panics, a line in the log.
func (s *Server) middleware(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := s.Now()
		x := s.newExchange(r)
		ctx := context.WithValue(r.Context(), exchangeKey{}, x)
		r = r.WithContext(auth.With(ctx, auth.Anonymous))
		s.identify(r, x)
		out := &recorder{ResponseWriter: w, control: http.NewResponseController(w)}
		out.allowTime()
		out.Header().Set("X-Request-ID", x.id)
		out.Header().Set("Cache-Control", "no-store")
		defer func() {
			problem := recover()
			if problem != nil {
				s.answerPanic(out, r, problem)
			}
			took := max(0, s.Now().Sub(start)) // a clock of a database may be set back
			s.logAccess(r, x, out, took)
			s.record(r, x, out, start, took)
			if s.Observer != nil {
				s.Observer.Request(x.route, r.Method, out.status, took, out.bytes)
			}
			if out.broken || problem == http.ErrAbortHandler {
				panic(http.ErrAbortHandler) // the only way to break off an answer
			}
		}()
		next.ServeHTTP(out, r)
	})
}

// newExchange reads the request id or makes one.
func (s *Server) newExchange(r *http.Request) *exchange {
	given := r.Header.Values("X-Request-ID")
	if len(given) == 1 && len(given[0]) == 36 && uuid.Validate(given[0]) == nil {
		return &exchange{id: given[0], refused: s.Limits.check(r)}
	}
	x := &exchange{id: uuid.NewString()}
	if len(given) > 0 && s.RequestIDStrict {
		x.refused = fhir.Issue{Code: fhir.CodeInvalid, Diagnostics: "The header X-Request-ID is not one UUID: write it as xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx, or leave it out."}
	}
	if err := s.Limits.check(r); err != nil {
		x.refused = err
	}
	return x
}

// answerPanic turns a panic into 500, or breaks off an answer that has begun.
func (s *Server) answerPanic(out *recorder, r *http.Request, problem any) {
	if problem == http.ErrAbortHandler {
		return
	}
	err := fmt.Errorf("panic: %v\n%s", problem, debug.Stack())
	if out.status != 0 {
		exchangeOf(r).cause = err
		out.broken = true
		s.Logger.LogAttrs(r.Context(), slog.LevelError, "an answer broke off", slog.String("request_id", exchangeOf(r).id), slog.Any("cause", err))
		return
	}
	s.writeOutcome(out, r, err)
}

// logAccess writes one line for each request. Queries and headers stay out:
// they may hold job ids and tokens (AD-02).
func (s *Server) logAccess(r *http.Request, x *exchange, out *recorder, took time.Duration) {
	attrs := []slog.Attr{
		slog.String("request_id", x.id),
		slog.String("principal", auth.From(r.Context()).ID),
		slog.String("method", r.Method),
		slog.String("path", r.URL.Path),
		slog.String("route", x.route),
		slog.Int("status", out.status),
		slog.Int64("bytes", out.bytes),
		slog.Duration("took", took),
	}
	s.Logger.LogAttrs(r.Context(), slog.LevelInfo, "request", attrs...)
}

// limitTime runs an endpoint with its limit of time. Files may take longer: they
// must only make progress, which recorder watches.
func (s *Server) limitTime(w http.ResponseWriter, r *http.Request, route route, serve func(*http.Request) error) error {
	// Wall time on purpose: this is a deadline of the connection, which net/http
	// takes back before the next request. A writer without deadlines is a test's.
	control := http.NewResponseController(w)
	if route.stream {
		_ = control.SetReadDeadline(time.Now().Add(s.bodyTime)) // until dropBody
		return serve(r)
	}
	_ = control.SetReadDeadline(time.Now().Add(answerTime))
	ctx, cancel := context.WithTimeout(r.Context(), answerTime)
	defer cancel()
	return serve(r.WithContext(ctx))
}

// dropBody reads the body of a request whose answer takes as long as it takes,
// and then lifts the deadline for reading, which would end the request in the middle of
// a download. As long as there is more of the body to come the deadline stays: a
// client that never sends it must not hold the connection.
func dropBody(w http.ResponseWriter, r *http.Request, most int64) error {
	if err := copyBody(io.Discard, w, r, most); err != nil {
		return err
	}
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
	return nil
}

// recorder notes status and length of an answer, and gives a client time as
// long as it goes on reading.
type recorder struct {
	http.ResponseWriter
	control *http.ResponseController
	status  int
	bytes   int64
	broken  bool
}

// Unwrap lets http.ResponseController find the writer below.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// WriteHeader implements [http.ResponseWriter].
func (w *recorder) WriteHeader(status int) {
	if w.status == 0 && status >= 200 {
		w.status = status
	}
	w.allowTime()
	w.ResponseWriter.WriteHeader(status)
}

// Write implements [http.ResponseWriter].
func (w *recorder) Write(p []byte) (int, error) {
	w.begin()
	n, err := w.ResponseWriter.Write(p)
	w.bytes += int64(n)
	return n, err
}

// ReadFrom implements [io.ReaderFrom]: a file goes to the connection without a
// copy through this program, step by step so that the deadline can move on.
func (w *recorder) ReadFrom(from io.Reader) (total int64, err error) {
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
		if err == io.EOF {
			return total, nil // a copy ends with its source
		}
	}
	return total, err
}

// begin is called before bytes of the body go out.
func (w *recorder) begin() {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	w.allowTime()
}

// allowTime moves the deadline for writing on. It is of the connection, not of the
// request: one left behind would cut a later answer on the same connection, so every
// answer sets its own.
func (w *recorder) allowTime() {
	_ = w.control.SetWriteDeadline(time.Now().Add(progressTime))
}

// onlyWriter hides ReadFrom.
type onlyWriter struct{ io.Writer }
