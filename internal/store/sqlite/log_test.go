package sqlite

import (
	"context"
	"testing"
	"time"

	"muster/internal/fhir"
	"muster/internal/store/storetest"
)

// TestTruncateLog checks that the log grows while a snapshot is open, cannot be truncated
// then, and can afterwards.
func TestTruncateLog(t *testing.T) {
	s := openTest(t, t.TempDir(), time.Now)
	size := func() int64 {
		t.Helper()
		size, err := s.LogSize()
		if err != nil {
			t.Fatal(err)
		}
		return size
	}
	snap, err := s.OpenSnapshot(t.Context(), func(context.Context, fhir.Instant) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	before := size()
	if _, err := s.Apply(t.Context(), storetest.Changes(50)); err != nil {
		t.Fatal(err)
	}
	if after := size(); after <= before {
		t.Errorf("the log has %d bytes, and had %d", after, before)
	}
	if truncated, err := s.TruncateLog(t.Context()); truncated || err != nil {
		t.Errorf("with an open snapshot: truncated %t, %v", truncated, err)
	}
	if err := snap.Close(); err != nil {
		t.Fatal(err)
	}
	if truncated, err := s.TruncateLog(t.Context()); !truncated || err != nil || size() != 0 {
		t.Errorf("without a snapshot: truncated %t, %v, size %d", truncated, err, size())
	}
	if _, err := s.Apply(t.Context(), storetest.Changes(60)); err != nil {
		t.Errorf("a write after the truncation: %v", err)
	}
}
