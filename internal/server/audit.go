package server

import (
	"cmp"
	"net/http"
	"time"

	"muster/internal/audit"
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
	e.Principal, e.Method, e.Path = x.principal.ID, audit.Shorten(r.Method), path
	e.Status, e.Bytes, e.MS = out.status, out.bytes, float64(took.Microseconds())/1000
	e.Broken = x.cause != nil && out.status < http.StatusBadRequest && out.status != 0
	if out.status >= http.StatusBadRequest {
		s.Audit.RecordRefused(x.from.Name, cmp.Or(x.route, unrouted), e)
		return
	}
	s.Audit.Record(e)
}

// isUnrouted reports whether no route serves the path of a request.
func isUnrouted(x *requestState) bool { return x.route == "" || x.route == unrouted }
