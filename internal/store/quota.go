package store

import (
	"fmt"

	"muster/internal/fhir"
	"muster/internal/humanize"
)

// Quota bounds the bytes on disk of the files of exports. Zero means no limit.
type Quota struct {
	// Client is the limit for the exports of one client.
	Client int64
	// Total is the limit for all exports.
	Total int64
}

const (
	// LeastStored is what each complete export counts at least, in bytes, so that the number of
	// exports is bounded too, and with it the work of counting them.
	LeastStored = 1 << 20
	// Compression is how many bytes of planned NDJSON count as one byte on disk. Synthetic data
	// takes a tenth; a part that is written counts with its real size.
	Compression = 5
)

// OverQuota is the error of an export beyond a [Quota].
type OverQuota struct {
	Total       bool // the limit of all exports; otherwise that of one client
	Used, Limit int64
	// Frees is when the first of the exports that count expires; 0 if none of them is complete.
	Frees fhir.Instant
}

// Error implements error.
func (e *OverQuota) Error() string {
	whose, option := "the exports of the client", "--client-quota"
	if e.Total {
		whose, option = "all exports", "--quota"
	}
	return fmt.Sprintf("the files of %s take %s, and the limit is %s: raise %s, or lower --retention", whose, humanize.Bytes(e.Used), humanize.Bytes(e.Limit), option)
}

// Reason returns the text for the client. It does not say how much other clients have.
func (e *OverQuota) Reason() string {
	if e.Total {
		return "The server has no room for the files of more exports."
	}
	return fmt.Sprintf("The files of your exports take %s on the server, and the limit is %s: download them, and delete the exports that you do not need any more.",
		humanize.Bytes(e.Used), humanize.Bytes(e.Limit))
}
