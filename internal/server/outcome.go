package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"

	"muster/internal/damage"
	"muster/internal/export"
	"muster/internal/fhir"
	"muster/internal/oserror"
	"muster/internal/share"
	"muster/internal/store"
)

// kind is a reason for which the HTTP layer rejects a request.
type kind int

const (
	methodNotSupported kind = 1 + iota
	unsupportedMediaType
	notAcceptable
	bodyTooLarge
	rangeNotSatisfiable
	preconditionFailed
	unknownPlace
	pathNotFound
	urlTooLong
	headerTooLarge
	tooManyParameters
	rateLimited
	pollTooEarly
	jobFailed
	unavailable
	expectationFailed
	codingNotSupported
	versionNotSupported
	misdirected
	tokenNotAccepted
	tokenExpired
)

// refusal is an error of the HTTP layer.
type refusal struct {
	kind   kind
	text   string      // for the client
	header http.Header // additional headers of the response, or nil
	cause  error       // logged and not sent to the client, or nil
}

func (r refusal) Error() string { return r.text }
func (r refusal) Unwrap() error { return r.cause }

// response is the status and code that an error is answered with.
type response struct {
	status int
	code   fhir.Code
}

// The table that maps errors to statuses has three parts: refusals of the HTTP layer by kind,
// issues by reason, and issues by code. serviceIssue converts errors of the services to
// issues. Any other error is 500 exception, and its cause is logged only. pollError and
// cancelError apply the rules of the guide for their operations before the table.
var (
	byKind = map[kind]response{
		methodNotSupported:   {http.StatusMethodNotAllowed, fhir.CodeNotSupported},
		unsupportedMediaType: {http.StatusUnsupportedMediaType, fhir.CodeNotSupported},
		notAcceptable:        {http.StatusNotAcceptable, fhir.CodeNotSupported},
		bodyTooLarge:         {http.StatusRequestEntityTooLarge, fhir.CodeTooCostly},
		rangeNotSatisfiable:  {http.StatusRequestedRangeNotSatisfiable, fhir.CodeInvalid},
		preconditionFailed:   {http.StatusPreconditionFailed, fhir.CodeConflict},
		unknownPlace:         {http.StatusNotFound, fhir.CodeNotFound},
		pathNotFound:         {http.StatusNotFound, fhir.CodeNotSupported},
		urlTooLong:           {http.StatusRequestURITooLong, fhir.CodeTooCostly},
		headerTooLarge:       {http.StatusRequestHeaderFieldsTooLarge, fhir.CodeTooCostly},
		tooManyParameters:    {http.StatusBadRequest, fhir.CodeTooCostly},
		rateLimited:          {http.StatusTooManyRequests, fhir.CodeThrottled}, // RL-04
		pollTooEarly:         {http.StatusTooManyRequests, fhir.CodeThrottled},
		jobFailed:            {http.StatusInternalServerError, fhir.CodeException},
		unavailable:          {http.StatusServiceUnavailable, fhir.CodeTransient},
		expectationFailed:    {http.StatusExpectationFailed, fhir.CodeNotSupported}, // HD-08
		codingNotSupported:   {http.StatusNotImplemented, fhir.CodeNotSupported},
		versionNotSupported:  {http.StatusHTTPVersionNotSupported, fhir.CodeNotSupported},
		misdirected:          {http.StatusMisdirectedRequest, fhir.CodeNotSupported},
		tokenNotAccepted:     {http.StatusUnauthorized, fhir.CodeLogin},   // AU-04
		tokenExpired:         {http.StatusUnauthorized, fhir.CodeExpired}, // AU-04
	}
	byReason = map[fhir.Reason]int{
		fhir.TypeNotExportable: http.StatusForbidden, // KO-25
		fhir.ScopeMissing:      http.StatusForbidden, // AU-03
	}
	byCode = map[fhir.Code]int{
		fhir.CodeInvalid:      http.StatusBadRequest,
		fhir.CodeNotSupported: http.StatusBadRequest,
		fhir.CodeTooCostly:    http.StatusBadRequest,
		fhir.CodeLogin:        http.StatusUnauthorized,
		fhir.CodeExpired:      http.StatusUnauthorized,
		fhir.CodeForbidden:    http.StatusForbidden,
		fhir.CodeNotFound:     http.StatusNotFound,
		fhir.CodeConflict:     http.StatusConflict,
		fhir.CodeThrottled:    http.StatusTooManyRequests,
		fhir.CodeException:    http.StatusInternalServerError,
		fhir.CodeTransient:    http.StatusServiceUnavailable,
	}
)

// serviceIssue returns the issue for an error of the services.
func serviceIssue(err error) (fhir.Issue, bool) {
	var broken *oserror.Error
	var damaged *damage.Error
	var full *store.OverQuota
	switch {
	case errors.Is(err, export.ErrAlreadyDeleted):
		return fhir.Issue{Code: fhir.CodeNotFound, Diagnostics: "This export was deleted."}, true
	case errors.Is(err, export.ErrExpired):
		return fhir.Issue{Code: fhir.CodeNotFound, Diagnostics: "This export has expired, and its files no longer exist."}, true
	case errors.Is(err, store.ErrNotFound):
		return fhir.Issue{Code: fhir.CodeNotFound, Diagnostics: "There is no such export or file: it does not exist, was deleted, or has expired."}, true
	case errors.Is(err, store.ErrTooManyJobs):
		return fhir.Issue{Code: fhir.CodeThrottled, Diagnostics: "Too many of your exports are running: wait for one to end, or delete one."}, true
	case errors.As(err, &full) && full.Total:
		return fhir.Issue{Code: fhir.CodeTransient, Diagnostics: full.Reason() + " Try again after the number of seconds in Retry-After."}, true
	case errors.As(err, &full):
		return fhir.Issue{Code: fhir.CodeThrottled, Diagnostics: full.Reason() + " The first of them expires after the number of seconds in Retry-After."}, true
	case errors.Is(err, export.ErrFileLost):
		return fhir.Issue{Code: fhir.CodeException, Diagnostics: "This file of the export is lost, and retrying will not help: start the export again, and report the X-Request-ID of this response to the operator."}, true
	case errors.As(err, &damaged):
		return fhir.Issue{Code: fhir.CodeException, Diagnostics: damaged.Reason() + " Retrying does not help before that is repaired: report the X-Request-ID of this response."}, true
	case errors.As(err, &broken):
		return fhir.Issue{Code: fhir.CodeTransient, Diagnostics: broken.Reason() + " Try again later."}, true
	case oserror.IsOutOfFiles(err):
		return fhir.Issue{Code: fhir.CodeTransient, Diagnostics: oserror.ClientOutOfFiles + " Try again later."}, true
	case errors.Is(err, share.ErrLimit):
		return fhir.Issue{Code: fhir.CodeThrottled, Diagnostics: "Your requests under way take as much memory as one client may have: read the answers to earlier requests, and try again after the number of seconds in Retry-After."}, true
	case errors.Is(err, share.ErrFull):
		return fhir.Issue{Code: fhir.CodeTransient, Diagnostics: "The server is busy with the requests of other clients: try again after the number of seconds in Retry-After."}, true
	case errors.Is(err, store.ErrBusy):
		return fhir.Issue{Code: fhir.CodeTransient, Diagnostics: "The server is busy with the searches of other clients: try again after the number of seconds in Retry-After."}, true
	case errors.Is(err, store.ErrTooCostly):
		return fhir.Issue{Code: fhir.CodeTooCostly, Diagnostics: "The search took too long: narrow it, for example by a location or an identifier, omit _sort, or use $export."}, true
	case errors.Is(err, context.DeadlineExceeded):
		return fhir.Issue{Code: fhir.CodeTransient, Diagnostics: "The request took too long: try again later."}, true
	}
	return fhir.Issue{}, false
}

// pollError maps the errors of a poll. An internal error is 503, which keeps it apart from a
// failed job, so that the client polls again (PO-12).
func pollError(err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return err
	}
	if _, ok := fhir.AsIssues(err); ok {
		return err
	}
	return refusal{kind: unavailable, text: "The status of the export cannot be read now: poll again later.", cause: err}
}

// cancelError maps the errors of a DELETE. A job that does not exist, or belongs to another
// client, is 400, although it is 404 for a poll: the guide requires it (DE-04).
func cancelError(err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return fhir.Issue{Code: fhir.CodeInvalid, Diagnostics: "Endpoint artefact not found for the provided job ID."}
	}
	return err
}

// needsOperator reports whether an error that is sent to clients must be fixed by the
// operator, and is therefore logged with its cause.
func needsOperator(err error) bool {
	return errors.Is(err, export.ErrFileLost) || errors.As(err, new(*oserror.Error)) || errors.As(err, new(*damage.Error)) || oserror.IsOutOfFiles(err)
}

// resolve returns status and issues of an error. If internal is true, the error is
// logged.
func resolve(err error) (status int, issues fhir.Issues, internal bool) {
	if r, ok := errors.AsType[refusal](err); ok {
		a := byKind[r.kind]
		return a.status, fhir.Issues{{Code: a.code, Diagnostics: r.text}}, r.cause != nil
	}
	issues, ok := fhir.AsIssues(err)
	if !ok || len(issues) == 0 {
		one, known := serviceIssue(err)
		if !known {
			one = fhir.Issue{Code: fhir.CodeException, Diagnostics: "An internal error occurred: report the X-Request-ID of this response to the operator."}
		}
		issues, internal = fhir.Issues{one}, !known || needsOperator(err)
	}
	// All issues come from one stage of parsing, so the first one decides.
	if status, ok = byReason[issues[0].Reason]; !ok {
		if status, ok = byCode[issues[0].Code]; !ok {
			status = http.StatusInternalServerError
		}
	}
	return status, issues, internal
}

// maxIssues is the maximum number of issues in a response. A body of a megabyte can have
// hundreds of thousands, more than a reader can use.
const maxIssues = 100

// outcomeJSON returns the OperationOutcome of issues (ER-01).
func outcomeJSON(issues fhir.Issues, requestID string) []byte {
	listed := issues[:min(len(issues), maxIssues)]
	var all []fhir.OutcomeIssue
	for _, i := range listed {
		o := fhir.OutcomeIssue{Severity: "error", Code: i.Code, Diagnostics: i.Diagnostics}
		if i.Expression != "" {
			o.Expression = []string{i.Expression}
		}
		all = append(all, o)
	}
	if left := len(issues) - len(listed); left > 0 {
		all = append(all, fhir.OutcomeIssue{Severity: "information", Code: fhir.CodeInformational,
			Diagnostics: fmt.Sprintf("%d more issues were found and are omitted: fix the issues above and try again.", left)})
	}
	return fhir.OutcomeJSON(requestID, all...)
}

// contentHeaders describe a successful response; they are removed from an error.
var contentHeaders = []string{
	"Accept-Ranges", "Content-Disposition", "Content-Encoding", "Content-Length", "Content-Location",
	"Content-Range", "ETag", "Expires", "Last-Modified",
}

// retryAfterUnavailable is the default Retry-After of a 503 response, in seconds.
const retryAfterUnavailable = 30

// shared are the limits of what clients share, by the errors of requests beyond them.
var shared = map[error]string{store.ErrBusy: RefusedBusy, share.ErrLimit: RefusedMemory, share.ErrFull: RefusedFull}

// busyWait is the Retry-After of a request beyond one of them, in seconds.
const busyWait = 5

// writeOutcome writes the OperationOutcome of an error (ER-01, ER-04).
func (s *Server) writeOutcome(w http.ResponseWriter, r *http.Request, err error) {
	x := stateOf(r)
	if errors.Is(err, context.Canceled) && r.Context().Err() != nil {
		x.cause = err // the client has disconnected
		return
	}
	s.observeDamage(err)
	status, issues, internal := resolve(err)
	x.event.Issue = string(issues[0].Code)
	if internal {
		x.cause = err
		s.Logger.LogAttrs(r.Context(), slog.LevelError, "request failed", slog.String("request_id", x.id), slog.String("path", r.URL.Path), slog.Any("cause", causeOf(err)))
	}
	h := w.Header()
	for _, name := range contentHeaders {
		h.Del(name)
	}
	if refused, ok := errors.AsType[refusal](err); ok {
		for name, values := range refused.header {
			h[name] = values
		}
	}
	if many, ok := errors.AsType[export.TooManyJobs](err); ok {
		h.Set("Retry-After", strconv.Itoa(many.RetryAfter)) // KO-52
	}
	if full, ok := errors.AsType[export.NoRoom](err); ok {
		h.Set("Retry-After", strconv.Itoa(full.RetryAfter))
	}
	if issues[0].Reason == fhir.ScopeMissing {
		h.Set("WWW-Authenticate", s.challenge("insufficient_scope", issues[0].Diagnostics)) // RS-02
	}
	for reason, limit := range shared {
		if errors.Is(err, reason) {
			s.countRefusal(limit)
			h.Set("Retry-After", strconv.Itoa(busyWait))
		}
	}
	if status == http.StatusServiceUnavailable && h.Get("Retry-After") == "" {
		h.Set("Retry-After", strconv.Itoa(retryAfterUnavailable)) // PO-12
	}
	h.Set("Cache-Control", "no-store") // net/http removes it from some errors
	body := outcomeJSON(issues, x.id)
	h.Set("Content-Type", fhirJSON)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

// causeOf returns the error to log.
func causeOf(err error) error {
	if r, ok := errors.AsType[refusal](err); ok && r.cause != nil {
		return r.cause
	}
	return err
}
