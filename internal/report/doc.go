// Package report describes a provider directory in figures and charts: the number of
// records of each type and their state, the largest organisations, roles per practitioner,
// the positions of locations, identifiers that fail their checks, dangling references, and
// the age of the data.
//
// [Collect] reads a [Source], an iterator of records, once and returns a [Report]. A report is
// written as text by [Report.Text], as one self-contained HTML page by [Report.HTML], and as JSON
// by encoding/json.
//
// Records should come in loading order (Organization, Location, …). The state of a service
// or role is that of its location, and unknown if the location comes later. All other
// figures are independent of the order.
//
// A text that is not a resource is counted and skipped. An error of the source ends the
// collection.
package report
