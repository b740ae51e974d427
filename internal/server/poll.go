package server

import (
	"errors"
	"net/http"
	"strconv"

	"muster/internal/audit"
	"muster/internal/auth"
	"muster/internal/export"
	"muster/internal/fhir"
	"muster/internal/share"
	"muster/internal/store"
)

// defaultWait is the Retry-After of a response to a poll without a status, in seconds. It
// is the interval of the guide.
const defaultWait = 120

func (s *Server) pollRoutes() []route {
	return []route{{
		path:         s.basePath + "/$export-poll-status",
		about:        "poll the status of an export, or delete it",
		needs:        auth.Export,
		methods:      map[string]handler{http.MethodGet: s.poll, http.MethodDelete: s.cancel},
		interactions: map[string]audit.Interaction{http.MethodGet: audit.Poll, http.MethodDelete: audit.Cancel},
		before:       beforePoll,
	}}
}

// beforePoll sets the two headers that the guide requires for all responses to a poll,
// errors included (PO-02). A response with a status replaces them.
func beforePoll(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		setPollHeaders(w, defaultWait, "No status")
	}
}

func setPollHeaders(w http.ResponseWriter, wait int, progress string) {
	w.Header().Set("Retry-After", strconv.Itoa(wait))
	w.Header().Set("X-Progress", progress)
}

// poll returns the status of a job (PO-01 to PO-13). Accept is ignored: the manifest is
// always JSON (PO-06).
func (s *Server) poll(w http.ResponseWriter, r *http.Request) error {
	job, err := jobID(r)
	if err != nil {
		return err
	}
	status, err := s.Exports.Poll(r.Context(), job)
	if err != nil {
		if errors.Is(err, store.ErrNotFound) {
			setPollHeaders(w, defaultWait, "No such job")
		}
		return pollError(err)
	}
	setPollHeaders(w, status.RetryAfter, status.Progress)
	if status.Throttled {
		s.countRefusal(RefusedPoll)
		return refusal{kind: pollTooEarly, text: "This export was polled too early: wait for the number of seconds in Retry-After before the next poll."}
	}
	switch status.State {
	case store.Complete:
		if err := share.Reserve(r.Context(), int64(len(status.Manifest))); err != nil {
			return err
		}
		noteResources(r, status.Total)
		writeManifest(w, status)
		return nil
	case store.Failed:
		return refusal{kind: jobFailed, text: "The export failed: " + status.Reason}
	}
	w.Header().Set("Content-Length", "0")
	w.WriteHeader(http.StatusAccepted)
	return nil
}

// writeManifest writes the manifest of a complete job (PO-06, PO-13).
func writeManifest(w http.ResponseWriter, status export.Status) {
	h := w.Header()
	h.Set("Content-Type", plainJSON)
	h.Set("Content-Length", strconv.Itoa(len(status.Manifest)))
	setExpires(w, status.Expires)
	_, _ = w.Write(status.Manifest)
}

// setExpires sets the time at which manifest and files expire (PO-13, RE-09); zero sets
// no header.
func setExpires(w http.ResponseWriter, at fhir.Instant) {
	if at != 0 {
		w.Header().Set("Expires", at.Time().Format(http.TimeFormat))
	}
}

// cancel deletes a job (DE-01 to DE-08).
func (s *Server) cancel(w http.ResponseWriter, r *http.Request) error {
	job, err := jobID(r)
	if err != nil {
		return err
	}
	if err := s.Exports.Cancel(r.Context(), job); err != nil {
		return cancelError(err)
	}
	w.Header().Set("Content-Length", "0")
	w.WriteHeader(http.StatusAccepted)
	return nil
}

// jobID returns the parameter _jobId (PO-07, DE-06). Other parameters are ignored.
func jobID(r *http.Request) (string, error) {
	ids, err := queryValues(r, "_jobId")
	if err != nil || len(ids) != 1 || ids[0] == "" {
		return "", fhir.Issue{Code: fhir.CodeInvalid, Diagnostics: "The parameter _jobId must be given once and must not be empty: use the URL in Content-Location of the kick-off unchanged."}
	}
	noteJob(r, ids[0])
	return ids[0], nil
}
