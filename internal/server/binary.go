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
	"muster/internal/export"
)

func (s *Server) binaryRoutes() []route {
	methods := map[string]handler{http.MethodGet: s.file}
	if s.PostDownload {
		methods[http.MethodPost] = s.file // RE-02; a body is not looked at
	}
	return []route{{
		path:    s.basePath + "/Binary/{id}",
		about:   "fetch a file of an export",
		methods: methods,
		as:      map[string]audit.Interaction{http.MethodGet: audit.Download, http.MethodPost: audit.Download},
		stream:  true,
	}}
}

// form is a shape in which a file is served.
type form int

const (
	lines    form = 1 + iota // the NDJSON itself
	resource                 // a Binary resource that holds it in Base64 (RE-04)
)

// lineNames are other names under which clients ask for NDJSON (RE-05).
var lineNames = []string{"application/ndjson", "application/x-ndjson", "ndjson"}

// file serves a file of an export (RE-01 to RE-15).
func (s *Server) file(w http.ResponseWriter, r *http.Request) error {
	shape, err := shapeOf(r)
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
		return fmt.Errorf("%w: file %s (%s) has %d bytes on disk where %d were written: put it back, or delete job %s and export again",
			export.ErrFileLost, id, file.Part.Object, got, want, file.Part.JobID)
	}
	h := w.Header()
	h.Set("Content-Location", s.BaseURL+"/Binary/"+id+"/_history/1")
	h.Set("Content-Disposition", "Attachment;")
	h.Set("Vary", "Accept, Accept-Encoding")
	setExpires(w, file.Expires)
	if shape == resource {
		return s.serveResource(w, r, id, file)
	}
	return s.serveLines(w, r, file)
}

// shapeOf chooses the form: NDJSON unless the Binary resource is more welcome
// (RE-03 to RE-05).
func shapeOf(r *http.Request) (form, error) {
	format, err := formatOf(r)
	if err != nil {
		return 0, err
	}
	accept := acceptanceOf(r)
	if format != "" {
		accept = acceptance{{value: format}}
	}
	asLines := accept.under(fhirNDJSON, lineNames...)
	asResource := accept.of(fhirJSON)
	switch {
	case asLines == 0 && asResource == 0:
		return 0, refusal{kind: notAcceptable, text: "A file is available as application/fhir+ndjson, or as application/fhir+json for a Binary resource: ask for one of them in Accept."}
	case asResource > asLines:
		return resource, nil
	}
	return lines, nil
}

// serveLines serves the NDJSON, compressed as it is stored or plain, whole or in
// ranges. The two have different tags, so that a download resumed with If-Range
// never mixes them.
func (s *Server) serveLines(w http.ResponseWriter, r *http.Request, file *export.File) error {
	h := w.Header()
	h.Set("Content-Type", fhirNDJSON)
	var content io.ReadSeeker
	var watched watchedContent
	if wantsGzip(r) {
		h.Set("Content-Encoding", "gzip")
		h.Set("ETag", `"`+file.Part.Stored.SHA256+`-gzip"`)
		h.Set("Content-Length", strconv.FormatInt(file.Blob.Size(), 10)) // ServeContent leaves it out for encoded content
		content = file.Blob                                              // as it is, so that the system can send it without us
	} else {
		identity, err := file.Identity()
		if err != nil {
			return err
		}
		defer identity.Close()
		h.Set("ETag", `"`+file.Part.Stored.SHA256+`"`)
		watched.ReadSeeker = identity
		content = &watched
	}
	guarded := &errorGuard{ResponseWriter: w}
	http.ServeContent(guarded, asGet(r), "", time.Time{}, content)
	if err := guarded.refusal(); err != nil {
		return err
	}
	s.noteBroken(r, watched.err)
	return nil
}

// mostRanges is how many ranges one request may have. Each costs up to a fragment
// of decoding; a request for more gets the whole file, which is allowed.
const mostRanges = 16

// asGet returns the request as http.ServeContent shall see it: POST is the same as
// GET, conditions included, ranges that are not in bytes or too many are not there, and
// the others are within what it can count.
func asGet(r *http.Request) *http.Request {
	get := *r
	if r.Method == http.MethodPost {
		get.Method = http.MethodGet
	}
	ranges, inBytes := strings.CutPrefix(r.Header.Get("Range"), "bytes=")
	get.Header = r.Header.Clone()
	if !inBytes || strings.Count(ranges, ",") >= mostRanges {
		get.Header.Del("Range")
		return &get
	}
	list := strings.Split(ranges, ",")
	for n := range list {
		list[n] = countable(list[n])
	}
	get.Header.Set("Range", "bytes="+strings.Join(list, ","))
	return &get
}

const highest = "9223372036854775807" // of an int64

// countable returns a range as http.ServeContent reads it right. A position that does
// not fit its numbers becomes the highest that does, which is behind the end of every
// file too; and the last zero bytes, which it would serve, become a range behind the end.
func countable(one string) string {
	first, last, ok := strings.Cut(one, "-")
	if !ok {
		return one
	}
	first, last = position(first), position(last)
	if first == "" && last != "" && strings.Trim(last, "0") == "" {
		return highest + "-"
	}
	return first + "-" + last
}

// position returns digits that fit an int64; other text comes back as it is.
func position(text string) string {
	text = strings.Trim(text, " \t")
	if _, err := strconv.ParseInt(text, 10, 64); errors.Is(err, strconv.ErrRange) && text[0] != '-' {
		return highest
	}
	return text
}

// serveResource serves a Binary resource, encoding while it reads (RE-04). It has
// no ranges.
func (s *Server) serveResource(w http.ResponseWriter, r *http.Request, id string, file *export.File) error {
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
	watched := &watchedContent{ReadSeeker: identity}
	if _, err := w.Write(head); err != nil {
		return nil
	}
	encoder := base64.NewEncoder(base64.StdEncoding, w)
	_, err = io.CopyBuffer(onlyWriter{encoder}, io.LimitReader(watched, file.Part.Stored.Bytes), make([]byte, 96<<10))
	if err == nil {
		err = encoder.Close()
	}
	if err == nil {
		_, err = io.WriteString(w, tail)
	}
	s.noteBroken(r, watched.err)
	_ = err // the client has gone, or noteBroken has told
	return nil
}

// noteBroken logs that the bytes of a file could not be read. The answer is
// shorter than announced, so the client sees that it broke off.
func (s *Server) noteBroken(r *http.Request, err error) {
	if err == nil {
		return
	}
	x := exchangeOf(r)
	x.cause = err
	s.Logger.LogAttrs(r.Context(), slog.LevelError, "a download broke off", slog.String("request_id", x.id), slog.String("path", r.URL.Path), slog.Any("cause", err))
}

// watchedContent keeps the error that reading ended with.
type watchedContent struct {
	io.ReadSeeker
	err error
}

func (c *watchedContent) Read(p []byte) (int, error) {
	n, err := c.ReadSeeker.Read(p)
	if err != nil && err != io.EOF {
		c.err = err
	}
	return n, err
}

// errorGuard holds back the error answers of http.ServeContent, which are plain
// text, so that an OperationOutcome can take their place (ER-01).
type errorGuard struct {
	http.ResponseWriter
	failed int // status of the answer held back
}

func (g *errorGuard) Unwrap() http.ResponseWriter { return g.ResponseWriter }

func (g *errorGuard) WriteHeader(status int) {
	if status >= 400 {
		g.failed = status
		return
	}
	g.ResponseWriter.WriteHeader(status)
}

func (g *errorGuard) Write(p []byte) (int, error) {
	if g.failed != 0 {
		return len(p), nil
	}
	return g.ResponseWriter.Write(p)
}

// ReadFrom implements [io.ReaderFrom] for the way of a file to the connection.
func (g *errorGuard) ReadFrom(from io.Reader) (int64, error) {
	if g.failed != 0 {
		return io.Copy(io.Discard, from)
	}
	return io.Copy(g.ResponseWriter, from)
}

// refusal is the error held back, in our words, or nil.
func (g *errorGuard) refusal() error {
	switch g.failed {
	case 0:
		return nil
	case http.StatusRequestedRangeNotSatisfiable:
		return refusal{
			kind:   wrongRange,
			text:   "The file does not have the bytes that Range asks for: see Content-Range for its length.",
			header: http.Header{"Content-Range": g.Header().Values("Content-Range")},
		}
	case http.StatusPreconditionFailed:
		return refusal{kind: preconditionFailed, text: "The file is not the one that If-Match or If-None-Match asks for."}
	}
	return refusal{kind: notNow, text: "The file cannot be read now: try again later."}
}
