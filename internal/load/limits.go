package load

import (
	"context"

	"muster/internal/humanize"
	"muster/internal/search/index"
)

// The limits of one resource, besides its size ([fhir.MaxLine]). A resource is written in one
// transaction, which other writers and the start of an export wait for, so they bound the time
// of that transaction. The largest resources of the guide's examples and of real directories
// stay below a hundredth of each.
const (
	// MaxItems is the maximum number of items of one array. The entries of a Bundle are not
	// limited.
	MaxItems = 10_000
	// MaxMembers is the maximum number of members of one object.
	MaxMembers = 256
	// MaxValues is the maximum number of values in one resource, at any depth.
	MaxValues = 50_000
	// MaxIndexRows is the maximum number of rows that one resource may have in the search
	// index, as [indexRows] counts them.
	MaxIndexRows = 200_000
)

// indexRows returns an upper bound of the rows that the store writes for an entry: the entry
// itself and, for a text, its n-grams.
func indexRows(e *index.Entry) int {
	if e.Kind == index.String {
		return 1 + len(e.Norm)
	}
	return 1
}

// checkIndexRows refuses a resource with too many index rows. It names the search parameter
// that has most of them.
func checkIndexRows(extractor *index.Extractor, entries []index.Entry) *Refusal {
	total := 0
	for i := range entries {
		total += indexRows(&entries[i])
	}
	if total <= MaxIndexRows {
		return nil
	}
	rows := map[int]int{} // by parameter
	most := 0
	for i := range entries {
		param := entries[i].Param
		if rows[param] += indexRows(&entries[i]); rows[param] > rows[most] {
			most = param
		}
	}
	return refuse(TooLarge, "the resource has %s rows in the search index, %s of them for the search parameter %s: at most %s are stored: write fewer or shorter values",
		humanize.Int(int64(total)), humanize.Int(int64(rows[most])), extractor.Code(most), humanize.Int(MaxIndexRows))
}

// tooManyValues is the text of the refusal of a resource with more than [MaxValues].
var tooManyValues = "the resource has more than " + humanize.Int(MaxValues) + " values up to here: split it"

// cancelled returns the refusal that ends the preparation of a resource when the load is
// stopped, or nil. It is never reported.
func cancelled(ctx context.Context) *Refusal {
	if ctx.Err() == nil {
		return nil
	}
	return refuse(BadInput, "the load was stopped")
}
