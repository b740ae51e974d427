// Package oserror has the words for what a disk or a database does not let happen: for the
// operator, with place and way out, and for a client, who is told what it is but not where.
package oserror

import (
	"errors"
	"fmt"
	"syscall"
)

// Error is a failure of what this program stands on.
type Error struct {
	Text string // for the operator: the place and the way out
	Told string // for everybody: one sentence, without places
	Err  error
}

// Error implements error.
func (e *Error) Error() string { return e.Text + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Reason is the sentence for everybody.
func (e *Error) Reason() string { return e.Told }

// The sentences for everybody.
const (
	ToldFull     = "The disk of the server is full."
	ToldReadOnly = "The disk of the server cannot be written."
	ToldBroken   = "The disk of the server fails."
	ToldAway     = "The database of the server cannot be reached."
)

// Explain puts the way out before an error of the system about a file at place. Errors
// that are not the disk's come back as they are, and so do explained ones.
func Explain(place string, err error) error {
	var explained *Error
	if errors.As(err, &explained) {
		return err
	}
	var number syscall.Errno
	if !errors.As(err, &number) {
		return err
	}
	switch posix(number) {
	case syscall.ENOSPC, syscall.EDQUOT:
		return &Error{fmt.Sprintf("the disk of %s is full: make room on it", place), ToldFull, err}
	case syscall.EROFS:
		return &Error{fmt.Sprintf("the disk of %s is mounted read-only: mount it for writing", place), ToldReadOnly, err}
	case syscall.EACCES, syscall.EPERM:
		return &Error{fmt.Sprintf("this program may not use %s: check the owner and the rights of it and of its folders", place), ToldReadOnly, err}
	case syscall.EIO:
		return &Error{fmt.Sprintf("the disk of %s fails: check it", place), ToldBroken, err}
	}
	return err
}
