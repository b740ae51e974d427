package store

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"muster/internal/fhir"
	"muster/internal/search/index"
)

// Extract adds the index entries of a resource, given as its stored line, to dst. The
// line is valid during the call only.
type Extract func(dst []index.Entry, t fhir.Type, line []byte) ([]index.Entry, error)

// Indexer makes the index of a directory anew, from the stored documents: after the
// definitions of search parameters have changed, or a base URL has become known below
// which absolute references are followed.
type Indexer interface {
	// Reindex gives every current resource the entries that extract finds, in batches
	// that pass the write gate as those of Apply do. Nothing else changes: versions,
	// times and history stay, and so do the jobs.
	//
	// From the first batch on, the directory is refused to everybody who expects any
	// definitions at all, and writers that had it open before end with an error; the
	// last batch notes the new definitions and ends that. A call that was cut off in
	// between, in whatever way, is taken up by the next one where it ended, if that is
	// for the same definitions and base URL, and begun again if not. progress is told
	// after each batch how many resources this call has done.
	Reindex(ctx context.Context, definitions string, extract Extract, progress func(done int64)) error
}

// unfinished begins the definitions of a directory whose index is being made anew.
const unfinished = "unfinished "

// Unfinished is what stands for the definitions of a directory while its index is
// being made anew for the definitions given.
func (info CreateInfo) Unfinished(definitions string) string {
	return unfinished + definitions + " " + info.BaseURL
}

// ReindexKey is the key of the row of table meta that holds the next row key to
// index while the index is being made anew.
const ReindexKey = "reindex_next"

// ReindexFrom says where to go on, from the definitions that stand in table meta and
// the row of [ReindexKey] (empty if there is none): at its row key, if the same work
// was cut off there, else at the first of all.
func (info CreateInfo) ReindexFrom(definitions, noted, next string) (RowKey, error) {
	if noted != info.Unfinished(definitions) || next == "" {
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
func (info CreateInfo) Same(noted string) error {
	if noted != info.DefinitionsHash {
		return fmt.Errorf("another program has made the index anew since this one opened the directory: run this one again")
	}
	return nil
}

// checkDefinitions tells what to do about an index that was not built as wanted.
func (found CreateInfo) checkDefinitions(want string) error {
	switch {
	case want == "" || want == found.DefinitionsHash:
		return nil
	case strings.HasPrefix(found.DefinitionsHash, unfinished):
		return fmt.Errorf("its index is being made anew, and that was not finished: run 'muster reindex' on it, which goes on where it was cut off")
	}
	return fmt.Errorf("its index was built with other search parameters (definitions %.12s, this program has %.12s): run 'muster reindex' on it once", found.DefinitionsHash, want)
}
