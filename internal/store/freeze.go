package store

import (
	"context"
	"time"

	"muster/internal/fhir"
)

// Freezer takes snapshots for backups.
type Freezer interface {
	// Freeze opens a snapshot of resources and jobs at one instant. Writers wait
	// briefly at most.
	Freeze(ctx context.Context) (Frozen, error)
}

// Frozen is a snapshot of resources and jobs, to be copied. Not safe for use by several
// goroutines.
type Frozen interface {
	// Time returns the last time of table clock in the snapshot.
	Time() fhir.Instant
	// Held returns how long writers waited for the snapshot.
	Held() time.Duration
	// Objects returns the names of the files that belong to jobs.
	Objects(ctx context.Context) ([]string, error)
	// Write writes the databases into the folder dir. It may call progress from time to
	// time, in bytes or in another unit.
	Write(ctx context.Context, dir string, progress func(done, total int64)) error
	// FilesOwner returns the id of the copy as the owner of its folder of files, or ""
	// if the folder gets no owner. It is called after Write.
	FilesOwner() string
	Close() error
}
