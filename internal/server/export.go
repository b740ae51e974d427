package server

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"muster/internal/audit"
	"muster/internal/auth"
	"muster/internal/export"
	"muster/internal/fhir"
	"muster/internal/share"
	"muster/internal/store"
)

func (s *Server) exportRoutes() []route {
	return []route{{
		path:         s.basePath + "/$export",
		about:        "start a bulk export",
		needs:        auth.Export,
		methods:      map[string]handler{http.MethodPost: s.kickOff},
		interactions: map[string]audit.Interaction{http.MethodPost: audit.KickOff},
	}}
}

// The preferences of a kick-off. The second one is an extension of muster.
const (
	respondAsync    = "respond-async"
	trackMembership = "track-membership"
)

// kickOff starts an export (KO-01 to KO-06, KO-50). The checks are in the order of
// section 1.4 of the requirements: the first one that fails decides. A body that is missing
// comes before them, since it has no media type (KO-11).
func (s *Server) kickOff(w http.ResponseWriter, r *http.Request) error {
	if !hasBody(r) {
		return fhir.Issue{Code: fhir.CodeInvalid, Diagnostics: "The kick-off has no body: send a Parameters resource in JSON, with Content-Type: application/fhir+json."}
	}
	if err := checkKickOffMedia(r); err != nil {
		return err
	}
	if !prefers(r, respondAsync) {
		return fhir.Issue{Code: fhir.CodeInvalid, Diagnostics: "An export is asynchronous: send the header Prefer: respond-async."}
	}
	if r.URL.RawQuery != "" {
		return fhir.Issue{Code: fhir.CodeInvalid, Diagnostics: "The URL of $export takes no query: move all parameters into the Parameters resource in the body."}
	}
	body, err := readBody(w, r, s.Limits.Body)
	if err != nil {
		return err
	}
	tracked := s.TrackMembership && prefers(r, trackMembership)
	job, err := s.startExport(r, body, tracked)
	if err != nil {
		return err
	}
	if tracked {
		w.Header().Set("Preference-Applied", respondAsync+", "+trackMembership)
	}
	w.Header().Set("Content-Location", s.statusURL(job))
	w.Header().Set("Content-Length", "0")
	w.WriteHeader(http.StatusAccepted)
	return nil
}

// The numbers of kick-offs that are parsed and stored at once, and that wait for that.
const (
	kickOffPlaces = 2
	maxKickOffs   = 1000
)

// startExport starts the export that a body describes, when it is the client's turn. Without turns,
// hundreds of kick-offs would take the processor from the exports that run.
func (s *Server) startExport(r *http.Request, body []byte, tracked bool) (job string, err error) {
	place, err := s.kickOffs.Enter(r.Context(), stateOf(r).from)
	if err != nil {
		return "", err
	}
	defer place.Leave(false)
	request, err := s.ParseExport(r.Context(), body)
	if err != nil {
		return "", err
	}
	request.TrackMembership = tracked
	noteRequest(r, request)
	if job, err = s.Exports.KickOff(r.Context(), request); err != nil {
		s.countKickOff(err)
		return "", err
	}
	noteJob(r, job)
	return job, nil
}

// countKickOff counts a kick-off that was refused because of a limit.
func (s *Server) countKickOff(err error) {
	full, overQuota := errors.AsType[export.NoRoom](err)
	switch {
	case errors.Is(err, store.ErrTooManyJobs):
		s.countRefusal(RefusedJob)
	case overQuota && full.Total:
		s.countRefusal(RefusedSpace)
	case overQuota:
		s.countRefusal(RefusedQuota)
	}
}

// statusURL returns the URL at which a job is polled (KO-50).
func (s *Server) statusURL(job string) string {
	return s.BaseURL + "/$export-poll-status?_jobId=" + url.QueryEscape(job)
}

// checkKickOffMedia checks Content-Type and Accept (KO-05, KO-06, FM-05). Plain JSON is accepted
// in both, also with StrictAccept, because a successful response has no body.
func checkKickOffMedia(r *http.Request) error {
	if t := mediaTypeOf(r); t != fhirJSON && t != plainJSON {
		return refusal{kind: unsupportedMediaType, text: fmt.Sprintf("The body of a kick-off is a Parameters resource in JSON: send it with Content-Type: application/fhir+json, not %q.", t)}
	}
	if charset := foreignCharset(r); charset != "" {
		return refusal{kind: unsupportedMediaType, text: fmt.Sprintf("FHIR JSON is encoded in UTF-8: send the body in UTF-8, with charset=utf-8 or without charset, not %s.", charset)}
	}
	if version := foreignVersion(r); version != "" {
		return refusal{kind: unsupportedMediaType, text: fmt.Sprintf("The server speaks FHIR version %s: send the body with fhirVersion=%[1]s or without fhirVersion, not %s.", fhirVersion, version)}
	}
	if coding := r.Header.Get("Content-Encoding"); coding != "" && coding != "identity" {
		return refusal{kind: unsupportedMediaType, text: fmt.Sprintf("The body of a kick-off must not be encoded: omit Content-Encoding: %s.", coding)}
	}
	if accept := acceptanceOf(r); accept.qualityWithAliases(fhirJSON, plainJSON) == 0 {
		return refusal{kind: notAcceptable, text: "Responses to a kick-off are FHIR JSON: send Accept: application/fhir+json, or omit it."}
	}
	return nil
}

// hasBody reports whether a request has a body. If its length is not announced, hasBody waits
// for the first byte.
func hasBody(r *http.Request) bool {
	if r.ContentLength >= 0 {
		return r.ContentLength > 0
	}
	body := bufio.NewReader(r.Body)
	_, err := body.Peek(1)
	r.Body = struct {
		io.Reader
		io.Closer
	}{body, r.Body}
	return !errors.Is(err, io.EOF)
}

// readBody reads a body of at most limit bytes.
func readBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	body := reservedBuffer{ctx: r.Context(), limit: int(limit)}
	if err := copyBody(&body, w, r, limit); err != nil {
		return nil, err
	}
	return body.text, nil
}

// reservedBuffer is a buffer that reserves its memory as it grows. A client that announces a
// long body and sends it slowly takes no more than what it has sent.
type reservedBuffer struct {
	ctx   context.Context
	limit int // bytes of the longest text
	text  []byte
}

func (b *reservedBuffer) Write(p []byte) (int, error) {
	if need := len(b.text) + len(p); need > cap(b.text) {
		// While the text is copied, both buffers are there; the reservation of the first one stays.
		size := max(need, min(2*cap(b.text), b.limit))
		if err := share.Reserve(b.ctx, int64(size)); err != nil {
			return 0, err
		}
		b.text = append(make([]byte, 0, size), b.text...)
	}
	b.text = append(b.text, p...)
	return len(p), nil
}

// copyBody copies a body of at most limit bytes. A body whose Content-Length is larger is
// rejected unread.
func copyBody(to io.Writer, w http.ResponseWriter, r *http.Request, limit int64) error {
	var err error
	if r.ContentLength <= limit {
		_, err = io.Copy(to, http.MaxBytesReader(w, r.Body, limit))
	}
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok || r.ContentLength > limit {
		return refusal{kind: bodyTooLarge, text: fmt.Sprintf("The body is larger than %d bytes: request less at a time.", limit)}
	}
	if errors.Is(err, share.ErrFull) || errors.Is(err, share.ErrLimit) {
		return err
	}
	if err != nil {
		return fhir.Issue{Code: fhir.CodeInvalid, Diagnostics: "The body is incomplete or was not received in time: send the request again."}
	}
	return nil
}
