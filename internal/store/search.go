package store

import (
	"context"
	"time"

	"muster/internal/fhir"
	"muster/internal/search/plan"
)

// Search is one search request: the plan, the order, and how many rows and matches are
// wanted.
type Search struct {
	Plan  plan.Plan
	Order []plan.Order // empty: any order; by row key if the result holds all matches
	Limit int          // maximum number of rows; 0 only counts
	// Total is how far matches are counted: 0 does not count, n counts up to n, and a
	// negative number counts all.
	Total int64
	// MaterializeLimit is the largest set that is materialised and sorted; for a larger
	// set the driver scans an index in the requested order. 0 lets the driver decide. It
	// changes the execution, never the result.
	MaterializeLimit int64
	// Trace is called with each statement that ran, for operators. Optional.
	Trace func(TracedStatement)
}

// TracedStatement is a statement that a search ran.
type TracedStatement struct {
	What string // count, page or total
	SQL  string
	Args []any
	Rows int64 // rows counted or read
	Took time.Duration
}

// SearchResult is the result of a [Search].
type SearchResult struct {
	Rows []Row // the first Limit matches in order
	// Total is the number of matches as far as they were counted. Exact reports whether
	// counting was complete.
	Total int64
	Exact bool
}

// LaneLoad is how many searches or reads of a lane run, and how many wait for their turn.
type LaneLoad struct{ Running, Waiting int }

// Searcher searches the current resources. Each call is one short read transaction with a
// deadline; it returns [ErrTooCostly] when it exceeds the deadline. A call of a client (package
// client) waits for its turn, which does not count to the deadline; it returns [ErrBusy] when it
// waited too long. It is safe for use by several goroutines.
type Searcher interface {
	Reader
	// Search returns the matches of the request.
	Search(ctx context.Context, s Search) (SearchResult, error)
}

// Reader reads current resources and follows their references, for result pages, reads and
// includes. Each call is one short read transaction with a deadline and waits for its turn, like
// a search ([Searcher]). It is safe for use by several goroutines.
type Reader interface {
	// Rows returns the current rows of the keys that still exist, in the order given,
	// including hidden ones.
	Rows(ctx context.Context, keys []RowKey) ([]Row, error)

	// Lookup returns the current rows of the ids of one type, in the order given,
	// including hidden ones. It omits ids that do not exist (read, _include).
	Lookup(ctx context.Context, t fhir.Type, ids []string) ([]Row, error)

	// References returns the targets of one reference parameter for each of the rows, in
	// the order of the rows (_include). It omits references to types that the directory
	// does not have.
	References(ctx context.Context, keys []RowKey, param int) ([]Reference, error)

	// Referrers returns up to limit rows of type t whose reference parameter refers to
	// one of the ids of type target (_revinclude). Each row is returned once, including
	// hidden ones, in ascending order of keys.
	Referrers(ctx context.Context, t fhir.Type, param int, target fhir.Type, ids []string, limit int) ([]Row, error)

	// Bodies yields the stored line of the current version of each key, in the order
	// given. It omits keys without a row. Lines are valid during the call of yield only.
	// An error of yield ends the iteration and is returned.
	Bodies(ctx context.Context, keys []RowKey, yield func(row Row, line []byte) error) error
}

// Secrets stores random keys with the directory, so that all nodes can verify what one node
// has signed, also after a restart.
type Secrets interface {
	// Secret returns the 32 bytes under a name. The first call generates and stores them;
	// later ones, also those of other processes, only read.
	Secret(ctx context.Context, name string) ([]byte, error)
}

// Reference is one reference of a resource: from a row to a type and id.
type Reference struct {
	From RowKey
	Type fhir.Type
	ID   string
}
