// Package report describes a provider directory in numbers and pictures: how
// many records of each type there are and in which state, the largest
// organisations, roles per practitioner, where the locations are, which
// identifiers fail their checks, which references lead nowhere, and how old
// the data is.
//
// [Collect] reads a [Source], an iterator of records, once, and returns a
// [Report]; [Files] is a source of NDJSON files. A report is written as text
// by [Report.Text], as one self-contained HTML page by [Report.HTML], and as
// JSON by encoding/json.
//
// The best order of records is the load order (Organization, Location, …):
// the state of a service or role is that of its location, and is "not known"
// when the location comes later. Everything else is right in any order.
//
// A line that is no resource is counted and skipped. An error of the source
// ends the collection.
package report
