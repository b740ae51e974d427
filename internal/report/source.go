package report

import "iter"

// Record is one resource.
type Record struct {
	Type string // empty if the source does not know it
	State
	JSON []byte // valid until the next record is read
}

// Source yields the records of a directory. An error is the last thing it yields.
type Source = iter.Seq2[Record, error]
