package store

import (
	"testing"

	"muster/internal/search/index"
)

// TestInherited checks what an entry of the change log says about the state of a version. Several
// writes of one commit have one entry.
func TestInherited(t *testing.T) {
	for _, c := range []struct {
		what What
		want index.Visibility
	}{
		{WasCreated, 0},
		{WasSuppressed | OwnSuppressed, 0},
		{WasSuppressed, 0}, // an older muster wrote no state
		{WasCreated | InheritedSuppressed, index.Suppressed},
		{WasUpdated | InheritedInactive, index.Inactive},
		{WasUpdated | InheritedInactive | InheritedSuppressed, index.Inactive | index.Suppressed},
		{WasUpdated | OwnInactive | InheritedInactive | InheritedSuppressed, index.Suppressed},
		{WasUpdated | OwnSuppressed | InheritedInactive | InheritedSuppressed, index.Inactive},
		{WasCreated | InheritedSuppressed | WasLifted | InheritedInactive, index.Inactive},
		{WasCreated | InheritedInactive | WasReactivated, 0},
	} {
		if got := c.what.Inherited(); got != c.want {
			t.Errorf("%b is of a version that has %b from others, want %b", c.what, got, c.want)
		}
	}
}
