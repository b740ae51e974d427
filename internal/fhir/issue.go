package fhir

import (
	"errors"
	"strings"
)

// Code is a FHIR issue type. A table in package server maps each one to an HTTP status.
type Code string

// The issue types that muster uses.
const (
	CodeInvalid       Code = "invalid"
	CodeNotSupported  Code = "not-supported"
	CodeForbidden     Code = "forbidden"
	CodeLogin         Code = "login"
	CodeExpired       Code = "expired"
	CodeNotFound      Code = "not-found"
	CodeConflict      Code = "conflict"
	CodeTooCostly     Code = "too-costly"
	CodeThrottled     Code = "throttled"
	CodeException     Code = "exception"
	CodeTransient     Code = "transient"
	CodeInformational Code = "informational"
)

// Issue is one problem of a request or of a resource. It is an error, and becomes one issue
// of an OperationOutcome.
type Issue struct {
	Code        Code
	Diagnostics string // sentences: what is wrong, and what to do
	Expression  string // FHIRPath of the element at fault, or empty: "Parameters.parameter[2].value"
	Reason      Reason // set if the code alone does not determine the HTTP status
}

// Reason distinguishes problems with the same code and different HTTP statuses.
type Reason string

// The reasons.
const (
	TypeNotExportable Reason = "type-not-exportable" // a type outside the seven in an export request (KO-25)
	ScopeMissing      Reason = "scope-missing"       // the token does not cover a type or an interaction (AU-03)
)

// Error returns the diagnostics, preceded by the expression if there is one.
func (i Issue) Error() string {
	if i.Expression == "" {
		return i.Diagnostics
	}
	return i.Expression + ": " + i.Diagnostics
}

// Issues is the list of all problems found in one stage of parsing a request (KO-38). An
// empty list is not an error: use [Issues.Err] to convert a list to an error.
type Issues []Issue

// Error returns the issues, one on each line.
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

// AsIssues returns the issues in the chain of err, an [Issues] or a single [Issue]. It
// reports false if there are none.
func AsIssues(err error) (Issues, bool) {
	if list, ok := errors.AsType[Issues](err); ok {
		return list, true
	}
	if one, ok := errors.AsType[Issue](err); ok {
		return Issues{one}, true
	}
	return nil, false
}
