package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"

	"muster/internal/export"
	"muster/internal/fhir"
	"muster/internal/oserror"
	"muster/internal/store"
)

// kind is a reason of the HTTP side to refuse a request.
type kind int

const (
	wrongMethod kind = 1 + iota
	wrongMedia
	notAcceptable
	tooLarge
	wrongRange
	preconditionFailed
	unknownPlace
	notOffered
	tooLong
	tooManyFields
	tooManyParameters
	tooFast
	pollTooEarly
	jobFailed
	notNow
)

// refusal is an error of the HTTP side.
type refusal struct {
	kind   kind
	text   string      // for the client
	header http.Header // more headers of the answer, or nil
	cause  error       // for the log only, or nil
}

func (r refusal) Error() string { return r.text }
func (r refusal) Unwrap() error { return r.cause }

// answer is what an error becomes.
type answer struct {
	status int
	code   fhir.Code
}

// The table from errors to answers, in three pieces: what the HTTP side refuses,
// issues by reason, issues by code. Errors of the services are turned into issues
// by serviceIssue. What stands nowhere is 500 exception, and its cause hidden.
var (
	byKind = map[kind]answer{
		wrongMethod:        {http.StatusMethodNotAllowed, fhir.CodeNotSupported},
		wrongMedia:         {http.StatusUnsupportedMediaType, fhir.CodeNotSupported},
		notAcceptable:      {http.StatusNotAcceptable, fhir.CodeNotSupported},
		tooLarge:           {http.StatusRequestEntityTooLarge, fhir.CodeTooCostly},
		wrongRange:         {http.StatusRequestedRangeNotSatisfiable, fhir.CodeInvalid},
		preconditionFailed: {http.StatusPreconditionFailed, fhir.CodeConflict},
		unknownPlace:       {http.StatusNotFound, fhir.CodeNotFound},
		notOffered:         {http.StatusNotFound, fhir.CodeNotSupported},
		tooLong:            {http.StatusRequestURITooLong, fhir.CodeTooCostly},
		tooManyFields:      {http.StatusRequestHeaderFieldsTooLarge, fhir.CodeTooCostly},
		tooManyParameters:  {http.StatusBadRequest, fhir.CodeTooCostly},
		tooFast:            {http.StatusTooManyRequests, fhir.CodeThrottled}, // RL-04
		pollTooEarly:       {http.StatusTooManyRequests, fhir.CodeThrottled},
		jobFailed:          {http.StatusInternalServerError, fhir.CodeException},
		notNow:             {http.StatusServiceUnavailable, fhir.CodeTransient},
	}
	byReason = map[fhir.Reason]int{
		fhir.TypeNotExportable: http.StatusForbidden, // KO-25
	}
	byCode = map[fhir.Code]int{
		fhir.CodeInvalid:      http.StatusBadRequest,
		fhir.CodeNotSupported: http.StatusBadRequest,
		fhir.CodeTooCostly:    http.StatusBadRequest,
		fhir.CodeLogin:        http.StatusUnauthorized,
		fhir.CodeForbidden:    http.StatusForbidden,
		fhir.CodeNotFound:     http.StatusNotFound,
		fhir.CodeConflict:     http.StatusConflict,
		fhir.CodeThrottled:    http.StatusTooManyRequests,
		fhir.CodeException:    http.StatusInternalServerError,
		fhir.CodeTransient:    http.StatusServiceUnavailable,
	}
)

// serviceIssue gives the errors of the services the words of an issue.
func serviceIssue(err error) (fhir.Issue, bool) {
	var broken *oserror.Error
	switch {
	case errors.Is(err, export.ErrAlreadyDeleted):
		return fhir.Issue{Code: fhir.CodeNotFound, Diagnostics: "This export was deleted."}, true
	case errors.Is(err, store.ErrNotFound):
		return fhir.Issue{Code: fhir.CodeNotFound, Diagnostics: "There is no such export or file: it never was, was deleted, or is no longer kept."}, true
	case errors.Is(err, store.ErrTooManyJobs):
		return fhir.Issue{Code: fhir.CodeThrottled, Diagnostics: "Too many of your exports are running: wait for one to end, or delete one."}, true
	case errors.Is(err, export.ErrFileLost):
		return fhir.Issue{Code: fhir.CodeException, Diagnostics: "This file of the export is lost: asking again will not help. Start the export again, and tell the operator the X-Request-ID of this answer."}, true
	case errors.As(err, &broken):
		return fhir.Issue{Code: fhir.CodeTransient, Diagnostics: broken.Reason() + " Try again later."}, true
	case errors.Is(err, store.ErrTooCostly):
		return fhir.Issue{Code: fhir.CodeTooCostly, Diagnostics: "The search took longer than it may: narrow it, such as by a place or an identifier, sort by nothing, or use $export."}, true
	case errors.Is(err, context.DeadlineExceeded):
		return fhir.Issue{Code: fhir.CodeTransient, Diagnostics: "The answer took too long: try again later."}, true
	}
	return fhir.Issue{}, false
}

// ofOperator reports whether an error that clients are told of is for the operator to mend,
// and so belongs into the log with its cause.
func ofOperator(err error) bool {
	return errors.Is(err, export.ErrFileLost) || errors.As(err, new(*oserror.Error))
}

// resolve finds status and issues of an error; internal means that the client
// is not told the cause.
func resolve(err error) (status int, issues fhir.Issues, internal bool) {
	if r, ok := errors.AsType[refusal](err); ok {
		a := byKind[r.kind]
		return a.status, fhir.Issues{{Code: a.code, Diagnostics: r.text}}, r.cause != nil
	}
	issues, ok := fhir.AsIssues(err)
	if !ok || len(issues) == 0 {
		one, known := serviceIssue(err)
		if !known {
			one = fhir.Issue{Code: fhir.CodeException, Diagnostics: "An internal error happened. Tell the operator the X-Request-ID of this answer."}
		}
		issues, internal = fhir.Issues{one}, !known || ofOperator(err)
	}
	// All issues come from one stage of reading, so the first one decides.
	if status, ok = byReason[issues[0].Reason]; !ok {
		if status, ok = byCode[issues[0].Code]; !ok {
			status = http.StatusInternalServerError
		}
	}
	return status, issues, internal
}

// outcomeIssue is an issue of an OperationOutcome in its JSON form.
type outcomeIssue struct {
	Severity    string    `json:"severity"`
	Code        fhir.Code `json:"code"`
	Diagnostics string    `json:"diagnostics"`
	Expression  []string  `json:"expression,omitempty"`
}

// mostIssues is how many issues an answer lists. A body of a megabyte can have
// hundreds of thousands, and nobody reads them.
const mostIssues = 100

// outcomeJSON writes the OperationOutcome of issues, with the additional issue
// that names the request (ER-01).
func outcomeJSON(issues fhir.Issues, requestID string) []byte {
	outcome := struct {
		ResourceType string         `json:"resourceType"`
		Issue        []outcomeIssue `json:"issue"`
	}{ResourceType: "OperationOutcome"}
	told := issues[:min(len(issues), mostIssues)]
	for _, i := range told {
		o := outcomeIssue{Severity: "error", Code: i.Code, Diagnostics: i.Diagnostics}
		if i.Expression != "" {
			o.Expression = []string{i.Expression}
		}
		outcome.Issue = append(outcome.Issue, o)
	}
	if left := len(issues) - len(told); left > 0 {
		outcome.Issue = append(outcome.Issue, outcomeIssue{Severity: "information", Code: fhir.CodeInformational,
			Diagnostics: fmt.Sprintf("%d more issues were found and are left out here: mend those above and try again.", left)})
	}
	outcome.Issue = append(outcome.Issue, outcomeIssue{Severity: "information", Code: fhir.CodeInformational, Diagnostics: "X-Request-ID: " + requestID})
	body, err := json.Marshal(outcome)
	if err != nil {
		return nil // cannot be: the struct holds strings only
	}
	return body
}

// contentHeaders describe the answer that an error takes the place of.
var contentHeaders = []string{
	"Accept-Ranges", "Content-Disposition", "Content-Encoding", "Content-Length", "Content-Location",
	"Content-Range", "ETag", "Expires", "Last-Modified",
}

// unwell is the Retry-After, in seconds, of an answer that says that this server is not
// well just now.
const unwell = 30

// writeOutcome answers with the OperationOutcome of an error (ER-01, ER-04).
func (s *Server) writeOutcome(w http.ResponseWriter, r *http.Request, err error) {
	x := exchangeOf(r)
	if errors.Is(err, context.Canceled) && r.Context().Err() != nil {
		x.cause = err // the client has gone; nobody reads an answer
		return
	}
	status, issues, internal := resolve(err)
	x.event.Issue = string(issues[0].Code)
	if internal {
		x.cause = err
		s.Logger.LogAttrs(r.Context(), slog.LevelError, "a request failed", slog.String("request_id", x.id), slog.String("path", r.URL.Path), slog.Any("cause", causeOf(err)))
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
	if status == http.StatusServiceUnavailable && h.Get("Retry-After") == "" {
		h.Set("Retry-After", strconv.Itoa(unwell)) // PO-12
	}
	h.Set("Cache-Control", "no-store") // net/http takes it away with some errors
	body := outcomeJSON(issues, x.id)
	h.Set("Content-Type", fhirJSON)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

// causeOf is the error to log.
func causeOf(err error) error {
	if r, ok := errors.AsType[refusal](err); ok && r.cause != nil {
		return r.cause
	}
	return err
}
