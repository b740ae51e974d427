// Package fhir defines the basic types of FHIR that the rest of muster uses: resource
// types, ids, references, instants, partial dates, issues and NDJSON lines. It imports no
// other package of muster.
//
// All types are small values, except [LineReader], which is the only one that does input or
// output. No state is shared between goroutines.
package fhir
