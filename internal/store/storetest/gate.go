package storetest

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"muster/internal/fhir"
	"muster/internal/store"
)

// GateWaits tests that Options.GateWaited is called for each write and each snapshot. The
// function opens an empty directory with the options.
func GateWaits(t *testing.T, open func(t *testing.T, o store.Options) store.Store) {
	var waits atomic.Int64
	s := open(t, store.Options{GateWaited: func(d time.Duration) {
		if d < 0 {
			t.Errorf("a wait of %v", d)
		}
		waits.Add(1)
	}})
	at := waits.Load()
	if _, err := s.Apply(t.Context(), []store.Change{{Type: fhir.Location, ID: "a",
		Document: store.Document{Head: []byte(`{"resourceType":"Location","id":"a","meta":{`), Tail: []byte(`}}`)}}}); err != nil {
		t.Fatal(err)
	}
	if n := waits.Load() - at; n != 1 {
		t.Errorf("a write reported %d waits, want 1", n)
	}
	at = waits.Load()
	snapshot, err := s.OpenSnapshot(t.Context(), func(context.Context, fhir.Instant) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	if err := snapshot.Close(); err != nil {
		t.Fatal(err)
	}
	if n := waits.Load() - at; n != 1 {
		t.Errorf("a snapshot reported %d waits, want 1", n)
	}
}
