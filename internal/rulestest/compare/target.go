package compare

import (
	"context"

	"muster/internal/fhir"
	"muster/internal/rulestest"
)

// Target is a directory under test.
type Target interface {
	// Load loads a file as muster load does. If the load was interrupted, it calls interrupted and
	// loads the file again.
	Load(ctx context.Context, file File, interrupted func() error) error
	// Remove removes resources.
	Remove(ctx context.Context, names []rulestest.Name, interrupted func() error) error
	// Export exports what the filters find.
	Export(ctx context.Context, r Request) (Result, error)
	// Get requests a path below the base URL, or the URL of a next page, as a client that accepts
	// FHIR JSON.
	Get(ctx context.Context, path string) (status int, body []byte, err error)
}

// File is a file that is loaded.
type File struct {
	Text []byte
	// Served says that its lines are those of exports. The load may refuse them as such, and no
	// others.
	Served bool
}

// RefusesServed is the beginning of the reason for which a line is refused that the directory has
// served.
const RefusesServed = "this directory has served this version"

// Request is an export.
type Request struct {
	Filters []string
	Since   *fhir.Instant // nil for a full export
	// WithoutSuppressed is the delta of a client that gets no suppressed resources.
	WithoutSuppressed bool
}

// Result is what an export holds.
type Result struct {
	Time    fhir.Instant     // its transaction time
	Lines   [][]byte         // without newlines
	Deleted []rulestest.Name // of a delta
}
