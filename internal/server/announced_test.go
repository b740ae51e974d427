package server

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

// never is a body that must not be read.
type never struct{ t *testing.T }

func (n never) Read([]byte) (int, error) {
	n.t.Error("the body was read")
	return 0, http.ErrBodyReadAfterClose
}
func (never) Close() error { return nil }

// TestAnnouncedLengthIsEnough refuses a body by the length that its header announces.
func TestAnnouncedLengthIsEnough(t *testing.T) {
	r := httptest.NewRequest(http.MethodPost, "/", nil)
	r.Body, r.ContentLength = never{t}, 11
	if _, err := readBody(httptest.NewRecorder(), r, 10); err == nil {
		t.Error("the body was accepted")
	}
}
