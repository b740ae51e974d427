package damage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// Kind says what is damaged. The metric of damage has it as its label.
type Kind string

// The kinds.
const (
	Row       Kind = "row"       // a resource or an old version of one
	Count     Kind = "count"     // the number of resources of a type
	Database  Kind = "database"  // a page of the database, as the database itself reports
	File      Kind = "file"      // the file of an export
	Selection Kind = "selection" // the stored request, selection or part of an export
)

// Kinds returns all kinds.
func Kinds() []Kind { return []Kind{Row, Count, Database, File, Selection} }

// Error reports damaged data.
type Error struct {
	Kind Kind
	Text string // for the operator: which thing is damaged, and what to do
	Err  error  // the cause, or nil
}

// New returns an error with a text for the operator.
func New(kind Kind, format string, args ...any) error {
	return &Error{Kind: kind, Text: fmt.Sprintf(format, args...)}
}

// Error implements error.
func (e *Error) Error() string {
	if e.Err == nil {
		return e.Text
	}
	return e.Text + ": " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Reason returns the sentence for clients.
func (e *Error) Reason() string {
	return "Data of the server are damaged, and the server has reported this to its operator."
}

// Permanent reports that repeating the work does not help.
func (e *Error) Permanent() bool { return true }

// KindOf returns the kind of the damage that an error reports, and whether it reports any.
func KindOf(err error) (Kind, bool) {
	e, ok := errors.AsType[*Error](err)
	if !ok {
		return "", false
	}
	return e.Kind, true
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Sum is a checksum, or the state of one that is being computed. The zero value is the sum of
// no data.
type Sum uint64

// Add returns the sum of the data before, followed by p.
func (s Sum) Add(p []byte) Sum {
	return Sum(crc32.Update(uint32(s>>32), crc32.IEEETable, p))<<32 | Sum(crc32.Update(uint32(s), castagnoli, p))
}

// Of returns the sum of p.
func Of(p []byte) Sum { return Sum(0).Add(p) }

// Append appends the eight bytes of the sum to dst, little endian.
func (s Sum) Append(dst []byte) []byte { return binary.LittleEndian.AppendUint64(dst, uint64(s)) }

// Size is the number of bytes of a sum.
const Size = 8

// Decode returns the sum in the first bytes of p, which has at least [Size] of them.
func Decode(p []byte) Sum { return Sum(binary.LittleEndian.Uint64(p)) }
