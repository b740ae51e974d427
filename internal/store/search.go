package store

import (
	"context"
	"time"

	"muster/internal/fhir"
	"muster/internal/search/plan"
)

// Search is one question of the search API: what to find, in which order, how many
// rows of it, and how far to count.
type Search struct {
	Plan  plan.Plan
	Order []plan.Order // empty: any; by row key when no match is left out
	Limit int          // rows at most; 0 for none, which only counts
	// Total says how far matches are counted: 0 not at all, n up to n, a negative
	// number exactly.
	Total int64
	// Gather is up to how many rows a set is gathered; beyond that an index is walked
	// in the order asked for. 0 leaves it to the driver. It changes the order of work,
	// never the answer.
	MaterializeLimit int64
	// Trace, if set, is told each statement that ran, for operators.
	Trace func(TracedStatement)
}

// TracedStatement is a statement that a search ran.
type TracedStatement struct {
	What string // count, page or total
	SQL  string
	Args []any
	Rows int64 // counted, or read
	Took time.Duration
}

// SearchResult is the answer to a [Search].
type SearchResult struct {
	Rows []Row // the first Limit matches in order
	// Total is the number of matches as far as counted; Exact tells whether it is
	// the true number or only where counting stopped.
	Total int64
	Exact bool
}

// Searcher answers searches at the present moment. Each call is one short read
// transaction with a deadline, and ends with [ErrTooCostly] when it runs into that.
// Safe for use by several goroutines.
type Searcher interface {
	Reader
	// Search finds what the question asks for.
	Search(ctx context.Context, s Search) (SearchResult, error)
}

// Reader reads current resources and follows their references, for pages, reads
// and includes. Each call is one short read transaction with a deadline, and ends with
// [ErrTooCostly] when it runs into that. Safe for use by several goroutines.
type Reader interface {
	// Rows returns the current rows of the keys that still are in the directory, in
	// the order given, hidden ones too.
	Rows(ctx context.Context, keys []RowKey) ([]Row, error)

	// Lookup returns the current rows of the ids of one type, in the order given,
	// hidden ones too; absent ids are left out (read, _include).
	Lookup(ctx context.Context, t fhir.Type, ids []string) ([]Row, error)

	// References returns, for each of the rows, the targets of one reference
	// parameter, in the order of the rows (_include). References to types that the
	// directory does not have are left out.
	References(ctx context.Context, keys []RowKey, param int) ([]Reference, error)

	// Referrers returns up to limit rows of type t with a reference of the parameter
	// to one of the ids of type target (_revinclude), each once, hidden ones too, in
	// ascending order of keys.
	Referrers(ctx context.Context, t fhir.Type, param int, target fhir.Type, ids []string, limit int) ([]Row, error)

	// Bodies yields the stored line of the current version of each key, in the order
	// given; keys without a row are left out. Lines are valid during the call of
	// yield only. An error of yield ends the reading and is returned.
	Bodies(ctx context.Context, keys []RowKey, yield func(row Row, line []byte) error) error
}

// Secrets keeps random keys with the directory, so that what one node has signed is
// known to the others and after a restart.
type Secrets interface {
	// Secret returns the 32 bytes under a name, drawing them at the first call.
	Secret(ctx context.Context, name string) ([]byte, error)
}

// Reference is one reference of a resource: from a row to a type and id.
type Reference struct {
	From RowKey
	Type fhir.Type
	ID   string
}
