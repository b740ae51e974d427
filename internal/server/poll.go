package server

import (
	"errors"
	"net/http"
	"strconv"

	"muster/internal/audit"
	"muster/internal/export"
	"muster/internal/fhir"
	"muster/internal/store"
)

// defaultWait is the Retry-After of answers to a poll that know no better one, in
// seconds: the interval of the guide.
const defaultWait = 120

func (s *Server) pollRoutes() []route {
	return []route{{
		path:    s.basePath + "/$export-poll-status",
		about:   "ask how an export stands, or delete it",
		methods: map[string]handler{http.MethodGet: s.poll, http.MethodDelete: s.cancel},
		as:      map[string]audit.Interaction{http.MethodGet: audit.Poll, http.MethodDelete: audit.Cancel},
		before:  beforePoll,
	}}
}

// beforePoll gives every answer to a poll the two headers that the guide demands,
// errors included (PO-02). What knows better replaces them.
func beforePoll(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		setPollHeaders(w, defaultWait, "No status")
	}
}

func setPollHeaders(w http.ResponseWriter, wait int, progress string) {
	w.Header().Set("Retry-After", strconv.Itoa(wait))
	w.Header().Set("X-Progress", progress)
}

// poll says how a job stands (PO-01 to PO-13). Accept is not looked at: the
// manifest is JSON for everybody (PO-06).
func (s *Server) poll(w http.ResponseWriter, r *http.Request) error {
	job, err := jobOf(r)
	if err != nil {
		return err
	}
	status, err := s.Exports.Poll(r.Context(), job)
	if err != nil {
		return pollError(w, err)
	}
	setPollHeaders(w, status.RetryAfter, status.Progress)
	if status.Throttled {
		s.refused(RefusedPoll)
		return refusal{kind: pollTooEarly, text: "This export was polled too early: wait the seconds in Retry-After before the next poll."}
	}
	switch status.State {
	case store.Complete:
		noteResources(r, status.Total)
		writeManifest(w, status)
		return nil
	case store.Failed:
		return refusal{kind: jobFailed, text: "The export failed: " + status.Reason}
	case store.Cancelled, store.Expired:
		return pollError(w, store.ErrNotFound)
	}
	w.Header().Set("Content-Length", "0")
	w.WriteHeader(http.StatusAccepted)
	return nil
}

// pollError keeps trouble of this server apart from a failed job: the client
// shall poll again (PO-12).
func pollError(w http.ResponseWriter, err error) error {
	if errors.Is(err, store.ErrNotFound) || errors.Is(err, export.ErrAlreadyDeleted) {
		setPollHeaders(w, defaultWait, "No such job")
		return err
	}
	if _, ok := fhir.AsIssues(err); ok {
		return err
	}
	return refusal{kind: notNow, text: "The status of the export cannot be read now: poll again later.", cause: err}
}

// writeManifest answers with the manifest of a complete job (PO-06, PO-13).
func writeManifest(w http.ResponseWriter, status export.Status) {
	h := w.Header()
	h.Set("Content-Type", plainJSON)
	h.Set("Content-Length", strconv.Itoa(len(status.Manifest)))
	setExpires(w, status.Expires)
	_, _ = w.Write(status.Manifest)
}

// setExpires says how long manifest and files stay (PO-13, RE-09); zero says nothing.
func setExpires(w http.ResponseWriter, at fhir.Instant) {
	if at != 0 {
		w.Header().Set("Expires", at.Time().Format(http.TimeFormat))
	}
}

// cancel deletes a job (DE-01 to DE-08). A job that never was, or is another
// client's, is 400 here although it is 404 for a poll: so the guide has it (DE-04).
func (s *Server) cancel(w http.ResponseWriter, r *http.Request) error {
	job, err := jobOf(r)
	if err != nil {
		return err
	}
	if err := s.Exports.Cancel(r.Context(), job); err != nil {
		if errors.Is(err, store.ErrNotFound) && !errors.Is(err, export.ErrAlreadyDeleted) {
			return fhir.Issue{Code: fhir.CodeInvalid, Diagnostics: "Endpoint artefact not found for the provided job ID."}
		}
		return err
	}
	w.Header().Set("Content-Length", "0")
	w.WriteHeader(http.StatusAccepted)
	return nil
}

// jobOf reads the job id (PO-07, DE-06). Other parameters are not looked at.
func jobOf(r *http.Request) (string, error) {
	ids := r.URL.Query()["_jobId"]
	if len(ids) != 1 || ids[0] == "" {
		return "", fhir.Issue{Code: fhir.CodeInvalid, Diagnostics: "The parameter _jobId must be there once and not be empty: use the address in Content-Location of the kick-off as it is."}
	}
	noteJob(r, ids[0])
	return ids[0], nil
}
