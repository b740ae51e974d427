package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"time"
)

// Store stores blobs by name. Safe for concurrent use.
type Store interface {
	// Create starts a blob. It becomes visible when its writer commits, and then replaces
	// an older blob of that name.
	Create(ctx context.Context, name string) (Writer, error)
	// Open returns a blob for reading, or [ErrNotFound].
	Open(ctx context.Context, name string) (Reader, error)
	// Remove removes a blob or a temporary file. It returns nil if there is none.
	Remove(ctx context.Context, name string) error
	// List yields all blobs and temporary files, ordered by name, with the time of their
	// last change. On Linux that includes the time at which a file was moved or copied into
	// the folder. Files that do not have the name of a blob are skipped. List stops at the
	// first error of yield and returns it. Files that are created or removed concurrently
	// may be missing.
	List(ctx context.Context, yield func(name string, modified time.Time) error) error
}

// Writer writes one blob. Not safe for concurrent use.
type Writer interface {
	io.Writer
	// Commit makes the blob durable and visible. After an error it does not exist.
	Commit() error
	// Abort discards the blob. After Commit it does nothing, so that it can be deferred.
	Abort()
}

// Reader reads one blob. ReadAt may be called concurrently.
type Reader interface {
	io.ReaderAt
	io.ReadSeeker
	Size() int64 // bytes
	Close() error
}

// ErrNotFound means that no blob has the name.
var ErrNotFound = errors.New("no such blob")

var nameForm = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._\-]*(/[A-Za-z0-9_][A-Za-z0-9._\-]*)*$`)

const maxName = 200

var temporaryForm = regexp.MustCompile(`\.tmp[0-9]+$`)

// checkName rejects a name that a blob cannot have.
func checkName(name string) error {
	if len(name) > maxName || !nameForm.MatchString(name) {
		return fmt.Errorf("%q is not the name of a blob: write segments of letters, digits, '.', '-' and '_' joined by '/', each starting with a letter, digit or '_', at most %d characters", name, maxName)
	}
	return nil
}
