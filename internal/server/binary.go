package server

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"muster/internal/audit"
	"muster/internal/auth"
	"muster/internal/damage"
	"muster/internal/export"
)

func (s *Server) binaryRoutes() []route {
	methods := map[string]handler{http.MethodGet: s.file}
	if s.PostDownload {
		methods[http.MethodPost] = s.file // RE-02; the body is ignored
	}
	return []route{{
		path:         s.basePath + "/Binary/{id}",
		about:        "download a file of an export",
		needs:        auth.Export,
		methods:      methods,
		interactions: map[string]audit.Interaction{http.MethodGet: audit.Download, http.MethodPost: audit.Download},
		stream:       true,
	}}
}

// form is a representation of a file.
type form int

const (
	formNDJSON form = 1 + iota // the NDJSON itself
	formBinary                 // a Binary resource that holds the NDJSON in Base64 (RE-04)
)

// ndjsonAliases are other names by which clients request NDJSON (RE-05).
var ndjsonAliases = []string{"application/ndjson", "application/x-ndjson", "ndjson"}

// file serves a file of an export (RE-01 to RE-15).
func (s *Server) file(w http.ResponseWriter, r *http.Request) error {
	shape, err := negotiateForm(r)
	if err != nil {
		return err
	}
	id := r.PathValue("id")
	noteFile(r, id)
	file, err := s.Exports.OpenFile(r.Context(), id)
	if err != nil {
		return err
	}
	defer file.Close()
	noteJob(r, file.Part.JobID)
	noteResources(r, file.Part.Stored.Count)
	if got, want := file.Blob.Size(), file.Part.Stored.GzipBytes; got != want {
		return &damage.Error{Kind: damage.File, Err: export.ErrFileLost, Text: fmt.Sprintf("file %s (%s) has %d bytes on disk, but %d were written: restore it, or delete job %s and export again",
			id, file.Part.Object, got, want, file.Part.JobID)}
	}
	h := w.Header()
	h.Set("Content-Location", s.BaseURL+"/Binary/"+id+"/_history/1")
	h.Set("Content-Disposition", "Attachment;")
	h.Set("Vary", "Accept, Accept-Encoding")
	setExpires(w, file.Expires)
	if shape == formBinary {
		return s.serveBinary(w, r, id, file)
	}
	return s.serveNDJSON(w, r, file)
}

// negotiateForm chooses the form: NDJSON unless Accept prefers the Binary resource (RE-03
// to RE-05).
func negotiateForm(r *http.Request) (form, error) {
	accept, err := acceptedBy(r)
	if err != nil {
		return 0, err
	}
	asLines := accept.qualityWithAliases(fhirNDJSON, ndjsonAliases...)
	asResource := accept.quality(fhirJSON)
	switch {
	case asLines == 0 && asResource == 0:
		return 0, refusal{kind: notAcceptable, text: "A file is available as application/fhir+ndjson, or as application/fhir+json for a Binary resource: send one of them in Accept."}
	case asResource > asLines:
		return formBinary, nil
	}
	return formNDJSON, nil
}

// serveNDJSON serves the NDJSON, compressed as it is stored or decompressed, whole or in
// ranges. The two encodings have different ETags, so that a download that is resumed with
// If-Range never mixes them.
func (s *Server) serveNDJSON(w http.ResponseWriter, r *http.Request, file *export.File) error {
	h := w.Header()
	h.Set("Content-Type", fhirNDJSON)
	recorded := fileReader{turns: s.fileReads}
	if prefersGzip(r) {
		h.Set("Content-Encoding", "gzip")
		h.Set("ETag", `"`+file.Part.Stored.SHA256+`-gzip"`)
		h.Set("Content-Length", strconv.FormatInt(file.Blob.Size(), 10)) // ServeContent omits it for encoded content
		stream, err := file.Stream()
		if err != nil {
			return err
		}
		recorded.ReadSeeker = stream
	} else {
		identity, err := file.Identity()
		if err != nil {
			return err
		}
		defer identity.Close()
		h.Set("ETag", `"`+file.Part.Stored.SHA256+`"`)
		recorded.ReadSeeker = identity
	}
	intercepted := &errorInterceptor{ResponseWriter: w}
	http.ServeContent(intercepted, contentRequest(r), "", time.Time{}, &recorded)
	if err := intercepted.refusal(); err != nil {
		return err
	}
	s.logBrokenDownload(r, recorded.err)
	return nil
}

// maxRanges is the maximum number of ranges in a request. Each range costs the decoding
// of up to one fragment. A request for more ranges gets the whole file, which HTTP
// permits.
const maxRanges = 16

// contentRequest returns the request for http.ServeContent. POST becomes GET, so that
// conditions and ranges apply. Ranges that are not in bytes, or are too many, are
// removed, and the others are clamped to the numbers that ServeContent can parse.
func contentRequest(r *http.Request) *http.Request {
	get := *r
	if r.Method == http.MethodPost {
		get.Method = http.MethodGet
	}
	ranges, inBytes := strings.CutPrefix(r.Header.Get("Range"), "bytes=")
	get.Header = r.Header.Clone()
	if !inBytes || strings.Count(ranges, ",") >= maxRanges {
		get.Header.Del("Range")
		return &get
	}
	list := strings.Split(ranges, ",")
	for n := range list {
		list[n] = clampRange(list[n])
	}
	get.Header.Set("Range", "bytes="+strings.Join(list, ","))
	return &get
}

// maxPosition is the largest int64.
const maxPosition = "9223372036854775807"

// clampRange returns a range that http.ServeContent parses correctly. A position that
// does not fit an int64 becomes the largest one, which is beyond the end of each file
// too. A suffix range of zero bytes, which ServeContent would serve, becomes a range
// beyond the end.
func clampRange(text string) string {
	first, last, ok := strings.Cut(text, "-")
	if !ok {
		return text
	}
	first, last = clampPosition(first), clampPosition(last)
	if first == "" && last != "" && strings.Trim(last, "0") == "" {
		return maxPosition + "-"
	}
	return first + "-" + last
}

// clampPosition returns digits that fit an int64. Other text is returned unchanged.
func clampPosition(text string) string {
	text = strings.Trim(text, " \t")
	if _, err := strconv.ParseInt(text, 10, 64); errors.Is(err, strconv.ErrRange) && text[0] != '-' {
		return maxPosition
	}
	return text
}

// serveBinary serves a Binary resource, which is encoded while the file is read (RE-04).
// It does not support ranges.
func (s *Server) serveBinary(w http.ResponseWriter, r *http.Request, id string, file *export.File) error {
	identity, err := file.Identity()
	if err != nil {
		return err
	}
	defer identity.Close()
	quoted, err := json.Marshal(id)
	if err != nil {
		return err
	}
	head := slices.Concat([]byte(`{"resourceType":"Binary","id":`), quoted, []byte(`,"contentType":"`+fhirNDJSON+`","data":"`))
	const tail = `"}`
	size := len(head) + base64.StdEncoding.EncodedLen(int(file.Part.Stored.Bytes)) + len(tail)
	w.Header().Set("Content-Type", fhirJSON)
	w.Header().Set("Content-Length", strconv.Itoa(size))
	w.Header().Set("Accept-Ranges", "none")
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodHead {
		return nil
	}
	recorded := &fileReader{ReadSeeker: identity, turns: s.fileReads}
	if _, err := w.Write(head); err != nil {
		return nil
	}
	encoder := base64.NewEncoder(base64.StdEncoding, w)
	_, err = io.CopyBuffer(onlyWriter{encoder}, io.LimitReader(recorded, file.Part.Stored.Bytes), make([]byte, 96<<10))
	if err == nil {
		err = encoder.Close()
	}
	if err == nil {
		_, err = io.WriteString(w, tail)
	}
	s.logBrokenDownload(r, recorded.err)
	_ = err // the client has disconnected, or logBrokenDownload has logged the cause
	return nil
}

// logBrokenDownload logs that the bytes of a file could not be read. The response is
// shorter than announced, which the client detects.
func (s *Server) logBrokenDownload(r *http.Request, err error) {
	if err == nil {
		return
	}
	s.observeDamage(err)
	x := stateOf(r)
	x.cause = err
	s.Logger.LogAttrs(r.Context(), slog.LevelError, "download aborted", slog.String("request_id", x.id), slog.String("path", r.URL.Path), slog.Any("cause", err))
}

// observeDamage counts an error that reports damaged data.
func (s *Server) observeDamage(err error) {
	if kind, ok := damage.KindOf(err); ok && s.Observer != nil {
		s.Observer.Damaged(kind)
	}
}

// fileReader reads a file for a download, and records the error that ended reading. As many downloads
// as there are cores read at once: each read decompresses and verifies, and other requests would wait
// for hundreds of them.
type fileReader struct {
	io.ReadSeeker
	turns chan struct{} // holds one for each download that reads
	err   error
}

func (f *fileReader) Read(p []byte) (int, error) {
	f.turns <- struct{}{}
	defer func() { <-f.turns }()
	n, err := f.ReadSeeker.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		f.err = err
	}
	return n, err
}

// errorInterceptor suppresses the error responses of http.ServeContent, which are plain
// text, so that an OperationOutcome can be sent instead (ER-01).
type errorInterceptor struct {
	http.ResponseWriter
	failed int // status of the suppressed response
}

func (g *errorInterceptor) Unwrap() http.ResponseWriter { return g.ResponseWriter }

func (g *errorInterceptor) WriteHeader(status int) {
	if status >= 400 {
		g.failed = status
		return
	}
	g.ResponseWriter.WriteHeader(status)
}

func (g *errorInterceptor) Write(p []byte) (int, error) {
	if g.failed != 0 {
		return len(p), nil
	}
	return g.ResponseWriter.Write(p)
}

// ReadFrom implements [io.ReaderFrom], so that the deadline is extended in steps.
func (g *errorInterceptor) ReadFrom(from io.Reader) (int64, error) {
	if g.failed != 0 {
		return io.Copy(io.Discard, from)
	}
	return io.Copy(g.ResponseWriter, from)
}

// refusal returns the error for the suppressed response, or nil.
func (g *errorInterceptor) refusal() error {
	switch g.failed {
	case 0:
		return nil
	case http.StatusRequestedRangeNotSatisfiable:
		return refusal{
			kind:   rangeNotSatisfiable,
			text:   "The file does not have the bytes of Range: see Content-Range for its length.",
			header: http.Header{"Content-Range": g.Header().Values("Content-Range")},
		}
	case http.StatusPreconditionFailed:
		return refusal{kind: preconditionFailed, text: "The file does not match If-Match or If-None-Match: request it without these headers."}
	}
	return refusal{kind: unavailable, text: "The file cannot be read now: try again later."}
}
