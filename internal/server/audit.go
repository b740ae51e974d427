package server

import (
	"net/http"
	"time"

	"muster/internal/audit"
	"muster/internal/auth"
	"muster/internal/export"
)

// noteJob adds the job of a request to its audit event.
func noteJob(r *http.Request, id string) { stateOf(r).event.Job = audit.Shorten(id) }

// noteFile adds the file of a request to its audit event.
func noteFile(r *http.Request, id string) { stateOf(r).event.File = audit.Shorten(id) }

// noteResources adds the number of resources in the response.
func noteResources(r *http.Request, n int64) { stateOf(r).event.Resources = n }

// noteQuery adds the query of a search, without secrets.
func noteQuery(r *http.Request, raw string) { stateOf(r).event.Query = audit.Query(raw) }

// noteRequest adds the filters and _since of an export.
func noteRequest(r *http.Request, request export.Request) {
	e := &stateOf(r).event
	for _, filter := range request.Filters {
		e.Filters = append(e.Filters, audit.Shorten(filter.Text()))
	}
	if request.Since != nil {
		e.Since = request.Since.String()
	}
}

// recordAudit records a request. Unknown paths are recorded too: an event that is not written
// cannot be recovered later.
func (s *Server) recordAudit(r *http.Request, x *requestState, out *responseRecorder, path string, start time.Time, took time.Duration) {
	if s.Audit == nil {
		return
	}
	e := x.event
	e.Time, e.RequestID = start, x.id
	e.Principal, e.Method, e.Path = auth.From(r.Context()).ID, audit.Shorten(r.Method), path
	e.Status, e.Bytes, e.MS = out.status, out.bytes, float64(took.Microseconds())/1000
	e.Broken = x.cause != nil && out.status < http.StatusBadRequest && out.status != 0
	if isRefused(x, out.status) {
		s.Audit.RecordRefused(x.from.Name, e)
		return
	}
	s.Audit.Record(e)
}

// isUnrouted reports whether no route serves the path of a request.
func isUnrouted(x *requestState) bool { return x.route == "" || x.route == unrouted }

// isRefused reports whether a request was refused before it concerned any data: because of a limit,
// or since there is nothing at its path. Such requests cost their sender nothing.
func isRefused(x *requestState, status int) bool {
	switch status {
	case http.StatusTooManyRequests, http.StatusServiceUnavailable, http.StatusMisdirectedRequest, http.StatusMethodNotAllowed:
		return true
	}
	monitoring := x.event.Interaction == audit.Health || x.event.Interaction == audit.Metrics // without a rate
	return status >= http.StatusBadRequest && (isUnrouted(x) || x.refused != nil || monitoring)
}
