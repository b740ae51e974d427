package fhir

import (
	"errors"
	"strings"
)

// Code is a FHIR issue type. The table in package server maps each to a status.
type Code string

// The issue types that muster uses.
const (
	CodeInvalid       Code = "invalid"
	CodeNotSupported  Code = "not-supported"
	CodeForbidden     Code = "forbidden"
	CodeLogin         Code = "login"
	CodeNotFound      Code = "not-found"
	CodeConflict      Code = "conflict"
	CodeTooCostly     Code = "too-costly"
	CodeThrottled     Code = "throttled"
	CodeException     Code = "exception"
	CodeTransient     Code = "transient"
	CodeInformational Code = "informational"
)

// Issue is one problem of a request or of a resource, as an error value. It
// becomes one issue of an OperationOutcome.
type Issue struct {
	Code        Code
	Diagnostics string // a sentence: the thing, the place, the way out
	Expression  string // FHIRPath of the element at fault, or empty: "Parameters.parameter[2].value"
	Reason      Reason // set where the code alone does not decide the HTTP status
}

// Reason tells apart problems that share a code but not a status.
type Reason string

// The reasons.
const (
	TypeNotExportable Reason = "type-not-exportable" // a type outside the seven in an export request (KO-25)
)

// Error returns the diagnostics, preceded by the expression if there is one.
func (i Issue) Error() string {
	if i.Expression == "" {
		return i.Diagnostics
	}
	return i.Expression + ": " + i.Diagnostics
}

// Issues are all the problems found in one stage of reading a request (KO-38).
// The empty list is no error: use [Issues.Err] to turn a list into one.
type Issues []Issue

// Error joins the issues, one on a line.
func (is Issues) Error() string {
	lines := make([]string, len(is))
	for n, i := range is {
		lines[n] = i.Error()
	}
	return strings.Join(lines, "\n")
}

// Err returns the issues as an error, or nil when there are none.
func (is Issues) Err() error {
	if len(is) == 0 {
		return nil
	}
	return is
}

// AsIssues returns the issues inside err, whether it holds a list or one, and
// false when there are none.
func AsIssues(err error) (Issues, bool) {
	if list, ok := errors.AsType[Issues](err); ok {
		return list, true
	}
	if one, ok := errors.AsType[Issue](err); ok {
		return Issues{one}, true
	}
	return nil, false
}
