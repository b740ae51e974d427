package index

// Visibility is the state of a resource, as a set of flags.
type Visibility uint8

// The flags. A resource without the flags of [Hidden] is visible (VI-01).
const (
	Inactive   Visibility = 1 << iota // by its active or status (VI-03)
	Suppressed                        // by an effective suppression (SU-01, SU-03)

	// Pending is set in the row of a resource while a cascade that may hide it is not finished.
	// It hides the resource from every reader. It is not part of the resource's version.
	Pending

	// HidesDependants is set in the own state of an Organization that suppresses what belongs to
	// it, but not itself (SU-10).
	HidesDependants

	// ByOrganisation and ByPractitioner are set in an inherited state that suppresses: whose
	// suppression it is (SU-02).
	ByOrganisation
	ByPractitioner

	// Hidden are the flags that hide a resource from default searches and reads.
	Hidden = Inactive | Suppressed
)
