package compare

import (
	"errors"
	"fmt"
	"slices"

	"muster/internal/rulestest"
)

// Difference is a difference between a directory and the model.
type Difference struct {
	Of   rulestest.Name // one of the resources that differ
	Text string
}

func (d Difference) Error() string { return d.Text }

// isDifference reports whether an error is a difference, and not a failure of the directory.
func isDifference(err error) bool { return errors.As(err, new(Difference)) }

func differ(of rulestest.Name, format string, args ...any) error {
	return Difference{of, fmt.Sprintf(format, args...)}
}

// sameNames compares names with those of the model. Both are sorted.
func sameNames(what string, got, want []rulestest.Name) error {
	if slices.Equal(got, want) {
		return nil
	}
	more, fewer := without(got, want), without(want, got)
	switch all := append(slices.Clone(more), fewer...); {
	case len(all) > 0:
		return differ(all[0], "%s: the directory has %v that the model has not, and not %v that it has", what, more, fewer)
	default:
		return differ(got[0], "%s: the directory has a resource twice: %v", what, got)
	}
}

// without returns the names that are not in others.
func without(names, others []rulestest.Name) (left []rulestest.Name) {
	known := map[rulestest.Name]bool{}
	for _, n := range others {
		known[n] = true
	}
	return slices.DeleteFunc(slices.Clone(names), func(n rulestest.Name) bool { return known[n] })
}
