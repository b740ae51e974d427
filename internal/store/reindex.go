package store

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"muster/internal/fhir"
	"muster/internal/search/index"
)

// ExtractFunc extracts the index entries of a stored resource, given as its line, and
// appends them to dst. If the line holds content that a directory may not hold, it also
// returns the change to a version without that content; the entries are then those of that
// version. The line is valid during the call only.
type ExtractFunc func(dst []index.Entry, t fhir.Type, line []byte) (entries []index.Entry, clean *Change, err error)

// Reindexing configures [Indexer.Reindex].
type Reindexing struct {
	Definitions string // hash of the search parameters that Extract uses
	BaseURL     string // the new base URL of the directory (see [Identity.MovedTo]); empty keeps the present one
	Rules       string // version of the rules by which Extract cleans
	Extract     ExtractFunc
	// Cleaning is called before the first cleaned version is written. It may be called
	// again after an interruption. Optional.
	Cleaning func(ctx context.Context) error
	// Progress is called after each batch with the number of resources that this call has
	// processed, and with the number of clean versions that it has written. Optional.
	Progress func(done, cleaned int64)
}

// Indexer rebuilds the index of a directory from the stored documents. This is necessary
// when the definitions of search parameters have changed, when the base URL has become
// known or has changed (absolute references below it are followed), and when the rules about
// the content of a directory have changed.
type Indexer interface {
	// Reindex replaces the entries of every current resource by those that r.Extract
	// returns, in batches that pass the write gate as those of Apply do. A resource that
	// must be cleaned gets a new version with the commit time of its batch, so deltas
	// include it. Reindex changes nothing else: versions, times and jobs stay. At the end
	// it deletes the old versions that no job needs, as Vacuum does, including the
	// versions that were cleaned.
	//
	// The first batch stores the new base URL. From then until Reindex completes, opening
	// the directory with a definitions hash fails, and writers that opened it before fail.
	// The last batch stores the new definitions and rules. An interrupted Reindex resumes
	// where it stopped if definitions, rules and base URL are unchanged; otherwise it
	// restarts.
	Reindex(ctx context.Context, r Reindexing) error
}

// reindexMarker starts the stored definitions of a directory whose reindex has not
// completed.
const reindexMarker = "unfinished "

// ReindexMarker returns the value that replaces the definitions of the directory while it
// is being reindexed.
func (id Identity) ReindexMarker(r Reindexing) string {
	return reindexMarker + r.Definitions + " " + r.Rules + " " + id.BaseURL
}

// IsReindexing reports whether a reindex of the directory has begun and has not completed.
func (id Identity) IsReindexing() bool { return strings.HasPrefix(id.DefinitionsHash, reindexMarker) }

// ReindexNextKey is the key of the row of table meta that holds the next row key to
// reindex.
const ReindexNextKey = "reindex_next"

// ResumeReindexAt returns the row key at which a reindex starts, given the stored
// definitions and the row of [ReindexNextKey] (empty if there is none). It returns the
// stored row key if the same reindex was interrupted, and otherwise 0.
func (id Identity) ResumeReindexAt(r Reindexing, stored, next string) (RowKey, error) {
	if stored != id.ReindexMarker(r) || next == "" {
		return 0, nil
	}
	key, err := strconv.ParseInt(next, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("the stored position of an interrupted reindex is damaged (%q): restore a backup", next)
	}
	return RowKey(key), nil
}

// CheckUnchanged returns an error if another process has started to reindex the directory, or
// has moved it to another base URL, since this process opened it: entries by the old
// definitions or for the old base URL must not be written, and links with the old base URL
// must not be handed out. stored is what table meta holds now. A base URL that another process
// has given to a directory without one is not an error.
func (id Identity) CheckUnchanged(stored Identity) error {
	switch {
	case stored.DefinitionsHash != id.DefinitionsHash:
		return fmt.Errorf("another process has reindexed the directory since this process opened it: run this command again")
	case id.BaseURL != "" && stored.BaseURL != id.BaseURL:
		return fmt.Errorf("another process has moved the directory to %s since this process opened it: run this command again", stored.BaseURL)
	}
	return nil
}

// checkDefinitions returns an error if the index was not built with the wanted definitions.
func (id Identity) checkDefinitions(want string) error {
	switch {
	case want == "" || want == id.DefinitionsHash:
		return nil
	case id.IsReindexing():
		return fmt.Errorf("its reindex was not finished: run 'muster reindex' on it, which resumes where it stopped")
	}
	return fmt.Errorf("its index was built by other rules or with other search parameters (definitions %.12s, this program has %.12s): run 'muster reindex' on it once", id.DefinitionsHash, want)
}

// rulesKey is the key of the row of table meta that holds [Identity].Rules.
const rulesKey = "rules"

// RulesRow returns the row of table meta to write when all resources conform to the rules.
func RulesRow(rules string) (key, value string) { return rulesKey, rules }

// checkRules returns an error if the directory may hold content that the rules remove.
func (id Identity) checkRules(want string) error {
	if want == "" || want == id.Rules {
		return nil
	}
	return fmt.Errorf("it was written with other rules about its content, and may hold content that this program must not show, such as prescriber numbers: run 'muster reindex' on it once")
}

// cascadesKey is the key of the row of table meta that holds [Identity].Cascades.
const cascadesKey = "cascades"

// CascadesRow returns the row of table meta to write when every resource shows the state that it
// inherits.
func CascadesRow() (key, value string) { return cascadesKey, "1" }

// checkCascades returns an error if resources may not show the state that they inherit.
func (id Identity) checkCascades(want bool) error {
	if !want || id.Cascades || id.Mode == modeMirror {
		return nil
	}
	return fmt.Errorf("it was written by a muster that did not hide what belongs to suppressed or inactive organisations and practitioners: run 'muster reindex' on it once")
}

// CheckWriter returns an error if a writer without rules would leave resources visible that inherit
// another state.
func (id Identity) CheckWriter(rules Rules) error {
	if !id.Cascades || rules != nil {
		return nil
	}
	return fmt.Errorf("this program opened the directory to read it, and cannot write what resources inherit: open it with the rules")
}
