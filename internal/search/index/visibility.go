package index

// Visibility is the state of a resource for searches, as a set of flags.
type Visibility uint8

// The flags. A resource without flags is visible (VI-01).
const (
	Inactive   Visibility = 1 << iota // by its active or status (VI-03)
	Suppressed                        // by an effective suppression (SU-01, SU-03)
)
