package index

// Visibility is the state of a resource as searches see it, as a set of flags.
type Visibility uint8

// The flags. A resource without any is visible (VI-01).
const (
	Inactive   Visibility = 1 << iota // its active or status says so (VI-03)
	Suppressed                        // it carries an effective suppression (SU-01, SU-03)
)
