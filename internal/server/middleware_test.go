package server

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"muster/internal/export"
	"muster/internal/store"
)

// deadlines notes the deadlines that an answer sets on its connection.
type deadlines struct {
	*httptest.ResponseRecorder
	write int
	read  time.Time // the last one
}

func (d *deadlines) SetWriteDeadline(time.Time) error   { d.write++; return nil }
func (d *deadlines) SetReadDeadline(at time.Time) error { d.read = at; return nil }

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// Every answer sets its own deadline for writing: one that an earlier answer on
// the same connection left behind would cut it.
func TestDeadlines(t *testing.T) {
	u := startWithFile(t, someResources(4*progressStep))
	u.fake.status = export.Status{State: store.Writing, RetryAfter: 9, Progress: "x"}
	var duringBody time.Time
	ask := func(path string, headers ...string) *deadlines {
		w := &deadlines{ResponseRecorder: httptest.NewRecorder(), read: time.Unix(1, 0)}
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, readerFunc(func([]byte) (int, error) {
			duringBody = w.read
			return 0, io.EOF
		}))
		for n := 0; n+1 < len(headers); n += 2 {
			r.Header.Set(headers[n], headers[n+1])
		}
		u.Config.Handler.ServeHTTP(w, r)
		return w
	}
	if w := ask("/api/v1/fhir/$export-poll-status?_jobId=" + knownJob); w.Code != 202 || w.write < 2 || !w.read.After(time.Unix(1, 0)) {
		t.Errorf("an answer without body: status %d, %d write deadlines, to be read by %v", w.Code, w.write, w.read)
	}
	// A download gets more time with every step, and none to be read in once the
	// body of the request is there: it may last, as long as the client takes it.
	if w := ask(filePath); w.Code != 200 || w.write < 5 || !w.read.IsZero() || !duringBody.After(time.Unix(1, 0)) {
		t.Errorf("a download: status %d, %d write deadlines, body to be read by %v, then by %v", w.Code, w.write, duringBody, w.read)
	}
	if w := ask(filePath, "Accept", fhirJSON); w.Code != 200 || w.write < 5 || !w.read.IsZero() {
		t.Errorf("a download as Binary: status %d, %d write deadlines, to be read by %v", w.Code, w.write, w.read)
	}
}
