package store

import (
	"context"

	"muster/internal/fhir"
)

// Work is a kind of work on a whole directory.
type Work string

// The kinds of work whose last end is recorded.
const (
	LoadWork   Work = "load"
	BackupWork Work = "backup"
)

// Key returns the key of table meta under which the end of the work is stored, in milliseconds
// since 1970.
func (w Work) Key() string { return "last_" + string(w) }

// LastTimes records when work on a directory has ended last. All processes on the directory see
// the same times.
type LastTimes interface {
	// SetLast records that work has ended at a time.
	SetLast(ctx context.Context, work Work, at fhir.Instant) error
	// Last returns the time that was recorded last, or 0 if there is none.
	Last(ctx context.Context, work Work) (fhir.Instant, error)
}
