package server

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"muster/internal/audit"
	"muster/internal/fhir"
	"muster/internal/store"
)

func (s *Server) exportRoutes() []route {
	return []route{{
		path:    s.basePath + "/$export",
		about:   "start a bulk export",
		methods: map[string]handler{http.MethodPost: s.kickOff},
		as:      map[string]audit.Interaction{http.MethodPost: audit.KickOff},
	}}
}

// kickOff starts an export (KO-01 to KO-06, KO-50). The checks stand in the order
// of section 1.4 of the requirements: the first stage that fails decides.
func (s *Server) kickOff(w http.ResponseWriter, r *http.Request) error {
	if err := checkKickOffMedia(r); err != nil {
		return err
	}
	if !prefers(r, "respond-async") {
		return fhir.Issue{Code: fhir.CodeInvalid, Diagnostics: "An export is asynchronous: send the header Prefer: respond-async."}
	}
	if r.URL.RawQuery != "" {
		return fhir.Issue{Code: fhir.CodeInvalid, Diagnostics: "The address of $export takes no query: move every parameter into the Parameters resource of the body."}
	}
	body, err := readBody(w, r, s.Limits.Body)
	if err != nil {
		return err
	}
	request, err := s.ParseExport(r.Context(), body)
	if err != nil {
		return err
	}
	noteRequest(r, request)
	job, err := s.Exports.KickOff(r.Context(), request)
	if err != nil {
		if errors.Is(err, store.ErrTooManyJobs) {
			s.refused(RefusedJob)
		}
		return err
	}
	noteJob(r, job)
	w.Header().Set("Content-Location", s.statusURL(job))
	w.Header().Set("Content-Length", "0")
	w.WriteHeader(http.StatusAccepted)
	return nil
}

// statusURL is where a job is polled (KO-50).
func (s *Server) statusURL(job string) string {
	return s.BaseURL + "/$export-poll-status?_jobId=" + url.QueryEscape(job)
}

// checkKickOffMedia looks at Content-Type and Accept (KO-05, KO-06). Plain JSON is
// taken in both, whatever StrictAccept says: the answer has no body.
func checkKickOffMedia(r *http.Request) error {
	if t := mediaTypeOf(r); t != fhirJSON && t != plainJSON {
		return refusal{kind: wrongMedia, text: fmt.Sprintf("The body of a kick-off is a Parameters resource in JSON: send it with Content-Type: application/fhir+json, not %q.", t)}
	}
	if charset := foreignCharset(r); charset != "" {
		return refusal{kind: wrongMedia, text: fmt.Sprintf("FHIR JSON is written in UTF-8: send the body so, with charset=utf-8 or without charset, not %s.", charset)}
	}
	if coding := r.Header.Get("Content-Encoding"); coding != "" && coding != "identity" {
		return refusal{kind: wrongMedia, text: fmt.Sprintf("The body of a kick-off is sent as it is: leave out Content-Encoding: %s.", coding)}
	}
	if accept := acceptanceOf(r); accept.under(fhirJSON, plainJSON) == 0 {
		return refusal{kind: notAcceptable, text: "Answers to a kick-off are FHIR JSON: send Accept: application/fhir+json, or leave it out."}
	}
	return nil
}

// readBody reads the body up to its limit in bytes.
func readBody(w http.ResponseWriter, r *http.Request, most int64) ([]byte, error) {
	var body bytes.Buffer
	if err := copyBody(&body, w, r, most); err != nil {
		return nil, err
	}
	return body.Bytes(), nil
}

// copyBody reads the body up to its limit in bytes. One that says it is longer is refused
// before it comes.
func copyBody(to io.Writer, w http.ResponseWriter, r *http.Request, most int64) error {
	var err error
	if r.ContentLength <= most {
		_, err = io.Copy(to, http.MaxBytesReader(w, r.Body, most))
	}
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok || r.ContentLength > most {
		return refusal{kind: tooLarge, text: fmt.Sprintf("The body is larger than %d bytes: ask for less in one request.", most)}
	}
	if err != nil {
		return fhir.Issue{Code: fhir.CodeInvalid, Diagnostics: "The body broke off or did not come to its end in time: send it again."}
	}
	return nil
}
