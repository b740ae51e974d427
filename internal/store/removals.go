package store

import (
	"fmt"

	"muster/internal/fhir"
)

// Sweep says which removals [Directory.SweepRemovals] forgets.
type Sweep struct {
	// Before is the end of the removals that may be forgotten: those that were committed at
	// that time or later are kept.
	Before fhir.Instant
	// Needs returns the time after which a live job with the request needs all removals,
	// [fhir.Forever] if it needs none. It is called inside the write gate.
	Needs func(request []byte) fhir.Instant
}

// End returns the end of the removals that may be forgotten while the jobs live.
func (s Sweep) End(live []Job) fhir.Instant {
	end := s.Before
	for _, job := range live {
		if needs := s.Needs(job.Request); needs < end {
			end = needs + 1
		}
	}
	return end
}

// Horizon says from which times a directory cannot answer what has changed since. The zero
// value is that of a directory that knows everything.
type Horizon struct {
	// Swept is the commit time of the latest removal that was swept, 0 if none was.
	Swept fhir.Instant
	// Restored has an entry for each backup that the directory was restored from.
	Restored []Restored
}

// Restored is the time between a backup and the first use of the copy. What the
// original committed in that time is lost, and so is what clients received.
type Restored struct {
	Taken fhir.Instant // last time of the clock in the backup
	Used  fhir.Instant // first time that the clock of the copy has issued; 0 before
}

// Check returns a [SinceUnknown] error if the directory cannot say what has changed since a
// time.
func (h Horizon) Check(since fhir.Instant) error {
	if since < h.Swept {
		return SinceUnknown{Since: since, Swept: h.Swept}
	}
	for _, r := range h.Restored {
		if since > r.Taken && (r.Used == 0 || since < r.Used) {
			return SinceUnknown{Since: since, Restored: r}
		}
	}
	return nil
}

// SinceUnknown is the error of a delta from a time from which the directory cannot say what has
// changed since.
type SinceUnknown struct {
	Since    fhir.Instant
	Swept    fhir.Instant // latest removal that was swept; 0 if that is not the reason
	Restored Restored     // otherwise the restored backup
}

// Error implements error. The text is for the client.
func (e SinceUnknown) Error() string {
	if e.Swept > 0 {
		return fmt.Sprintf("The directory knows the removals after %v only, and _since is %v: start again with a full export, without _since.", e.Swept, e.Since)
	}
	return fmt.Sprintf("The directory was restored from a backup of %v, and what was exported between then and its restart, as of _since %v, may be lost: start again with a full export, without _since.",
		e.Restored.Taken, e.Since)
}
