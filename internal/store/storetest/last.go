package storetest

import (
	"testing"

	"muster/internal/fhir"
	"muster/internal/store"
)

// LastTimes tests the contract of store.LastTimes with two stores on one directory, as of a
// server and a command.
func LastTimes(t *testing.T, server, command store.LastTimes) {
	want := func(work store.Work, want fhir.Instant) {
		t.Helper()
		if got, err := server.Last(t.Context(), work); err != nil || got != want {
			t.Errorf("the last %s is %v, %v, want %v", work, got, err, want)
		}
	}
	set := func(work store.Work, at fhir.Instant) {
		t.Helper()
		if err := command.SetLast(t.Context(), work, at); err != nil {
			t.Fatal(err)
		}
	}
	want(store.LoadWork, 0)
	want(store.BackupWork, 0)
	set(store.LoadWork, 1_800_000_000_001)
	want(store.LoadWork, 1_800_000_000_001)
	want(store.BackupWork, 0)
	set(store.LoadWork, 1_800_000_000_002)
	set(store.BackupWork, 1_800_000_000_003)
	want(store.LoadWork, 1_800_000_000_002)
	want(store.BackupWork, 1_800_000_000_003)
}
