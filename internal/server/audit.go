package server

import (
	"net/http"
	"strings"
	"time"

	"muster/internal/audit"
	"muster/internal/auth"
	"muster/internal/export"
)

// noteJob notes the job that a request is about.
func noteJob(r *http.Request, id string) { exchangeOf(r).event.Job = audit.Shorten(id) }

// noteFile notes the file that a request is about.
func noteFile(r *http.Request, id string) { exchangeOf(r).event.File = audit.Shorten(id) }

// noteResources notes how many resources the answer gives away.
func noteResources(r *http.Request, n int64) { exchangeOf(r).event.Resources = n }

// noteQuery notes the query of a search, without secrets.
func noteQuery(r *http.Request, raw string) { exchangeOf(r).event.Query = audit.Query(raw) }

// noteRequest notes what an export is to hold.
func noteRequest(r *http.Request, request export.Request) {
	e := &exchangeOf(r).event
	for _, filter := range request.Filters {
		e.Filters = append(e.Filters, audit.Shorten(filter.Text()))
	}
	if request.Since != nil {
		e.Since = request.Since.String()
	}
}

// record gives the event of a request to the audit log. Health checks and whatever else
// comes are in it too: what is left out cannot be asked for afterwards.
func (s *Server) record(r *http.Request, x *exchange, out *recorder, start time.Time, took time.Duration) {
	if s.Audit == nil {
		return
	}
	e := x.event
	e.Time, e.RequestID = start, x.id
	e.Principal, e.Method, e.Path = auth.From(r.Context()).ID, audit.Shorten(r.Method), audit.Shorten(strings.ToValidUTF8(r.URL.Path, "?"))
	e.Status, e.Bytes, e.MS = out.status, out.bytes, float64(took.Microseconds())/1000
	e.Broken = x.cause != nil && out.status < http.StatusBadRequest && out.status != 0
	s.Audit.Record(e)
}
