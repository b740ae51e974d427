package store

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"muster/internal/fhir"
	"muster/internal/search/index"
)

// ExtractFunc says what a stored resource, given as its line, is found by: it adds the
// index entries to dst. Where the line holds what a directory may not hold, it also
// returns the change to a version without it; the entries are then those of that
// version. The line is valid during the call only.
type ExtractFunc func(dst []index.Entry, t fhir.Type, line []byte) (entries []index.Entry, clean *Change, err error)

// Reindexing says how to rebuild the index of a directory.
type Reindexing struct {
	Definitions string // of the search parameters that ExtractFunc goes by
	Rules       string // by which ExtractFunc cleans
	Extract     ExtractFunc
	// Cleaning is called before the first cleaned version is written, and after an
	// interruption perhaps again. Optional.
	Cleaning func(ctx context.Context) error
	// Progress is told after each batch how many resources this call has done, and of
	// how many it has written a clean version. Optional.
	Progress func(done, cleaned int64)
}

// Indexer rebuilds the index of a directory from the stored documents: after the
// definitions of search parameters have changed, after a base URL has become known below
// which absolute references are followed, or after the rules have changed about what a
// directory may hold.
type Indexer interface {
	// Reindex gives every current resource the entries that r.ExtractFunc finds, in batches
	// that pass the write gate as those of Apply do. A resource that has to be cleaned
	// gets a new version, with the commit time of its batch, so that deltas carry it.
	// Nothing else changes: versions and times stay, and so do the jobs. At the end the old
	// versions go that no job needs, as by Vacuum, and with them what was cleaned.
	//
	// From the first batch on, the directory is refused to everybody who expects any
	// definitions at all, and writers that had it open before end with an error; the
	// last batch notes the new definitions and rules and ends that. A call that was cut
	// off in between, in whatever way, is taken up by the next one where it ended, if
	// that is for the same definitions, rules and base URL, and begun again if not.
	Reindex(ctx context.Context, r Reindexing) error
}

// reindexMarker begins the definitions of a directory whose index is being made anew.
const reindexMarker = "unfinished "

// Unfinished is what stands for the definitions of a directory while it is being
// reindexed.
func (info Identity) ReindexMarker(r Reindexing) string {
	return reindexMarker + r.Definitions + " " + r.Rules + " " + info.BaseURL
}

// ReindexNextKey is the key of the row of table meta that holds the next row key to
// index while the index is being made anew.
const ReindexNextKey = "reindex_next"

// ReindexFrom says where to go on, from the definitions that stand in table meta and
// the row of [ReindexNextKey] (empty if there is none): at its row key, if the same work
// was cut off there, else at the first of all.
func (info Identity) ResumeReindexAt(r Reindexing, noted, next string) (RowKey, error) {
	if noted != info.ReindexMarker(r) || next == "" {
		return 0, nil
	}
	key, err := strconv.ParseInt(next, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("its note on how far the index is made is damaged (%q): restore it from a copy", next)
	}
	return RowKey(key), nil
}

// Same refuses to write into an index that another program has begun to make anew
// since this one opened the directory: its entries would be those of before. noted are
// the definitions that stand in table meta now.
func (info Identity) CheckUnchanged(noted string) error {
	if noted != info.DefinitionsHash {
		return fmt.Errorf("another program has made the index anew since this one opened the directory: run this one again")
	}
	return nil
}

// checkDefinitions tells what to do about an index that was not built as wanted.
func (found Identity) checkDefinitions(want string) error {
	switch {
	case want == "" || want == found.DefinitionsHash:
		return nil
	case strings.HasPrefix(found.DefinitionsHash, reindexMarker):
		return fmt.Errorf("its index is being made anew, and that was not finished: run 'muster reindex' on it, which goes on where it was cut off")
	}
	return fmt.Errorf("its index was built with other search parameters (definitions %.12s, this program has %.12s): run 'muster reindex' on it once", found.DefinitionsHash, want)
}

// rulesKey is the key of the row of table meta that holds [Identity].Rules.
const rulesKey = "rules"

// RulesRow is the row of table meta to write when a directory meets the rules.
func RulesRow(rules string) (key, value string) { return rulesKey, rules }

// checkRules tells what to do about a directory that may hold what the rules take out.
func (found Identity) checkRules(want string) error {
	if want == "" || want == found.Rules {
		return nil
	}
	return fmt.Errorf("it was written by a muster with other rules about what may be held, such as prescriber numbers, and may hold what this one must not show: run 'muster reindex' on it once")
}
