// Package fhir holds the words of FHIR that the rest of muster speaks in:
// resource types, ids, references, instants, partial dates, issues and NDJSON
// lines. It knows nobody, and both sides of the wire use it.
//
// Everything here is a small value. Nothing does input or output but
// [LineReader], and nothing is shared between goroutines.
package fhir
