package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"time"
)

// Store keeps blobs by name. Safe for use by several goroutines.
type Store interface {
	// Create starts a blob. It is not there before its writer commits, and then
	// takes the place of an older one with the name.
	Create(ctx context.Context, name string) (Writer, error)
	// Open returns a blob for reading, or [ErrNotFound].
	Open(ctx context.Context, name string) (Reader, error)
	// Remove removes a blob or a leftover. One that is not there is no error.
	Remove(ctx context.Context, name string) error
	// List yields every blob and leftover, in order of names, with the time of its
	// last change; where the system tells, also when it was moved or copied here with the
	// times of the original. What has not the name of a blob is left out. It stops at the first
	// error of yield and returns it. What is created or removed meanwhile may be in or
	// not.
	List(ctx context.Context, yield func(name string, modified time.Time) error) error
}

// Writer writes one blob. Not safe for use by several goroutines.
type Writer interface {
	io.Writer
	// Commit makes the blob durable and visible. After an error it is not there.
	Commit() error
	// Abort throws the blob away; after Commit it does nothing, so that it can be
	// deferred.
	Abort()
}

// Reader reads one blob. ReadAt may be called by several goroutines.
type Reader interface {
	io.ReaderAt
	io.ReadSeeker
	Size() int64 // bytes
	Close() error
}

// ErrNotFound says that no blob has the name.
var ErrNotFound = errors.New("no such blob")

var nameForm = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._\-]*(/[A-Za-z0-9_][A-Za-z0-9._\-]*)*$`)

const longestName = 200

var leftoverForm = regexp.MustCompile(`\.tmp[0-9]+$`)

// checkName refuses what is not the name of a blob.
func checkName(name string) error {
	if len(name) > longestName || !nameForm.MatchString(name) {
		return fmt.Errorf("%q is not the name of a blob: write segments of letters, digits, '.', '-' and '_' joined by '/', each starting with a letter, digit or '_', at most %d characters", name, longestName)
	}
	return nil
}
