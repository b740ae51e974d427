// Package searchset answers searches and reads: it asks the store what a search
// finds and writes the Bundle.
//
// # The flow
//
// [Service.Search] lets package search read the URL, asks the store for the first
// matches in order and for their number, and makes a [set] of them: the row keys of at
// most [MaxMatches] matches with everything that their pages depend on. A page of a
// set is written by one function, whether it is the first (Search) or a later one
// ([Service.Page]): matches, then what _include and _revinclude bring along
// (include.go), then what the client should be told. The bytes of a resource are those
// that are stored; only _elements and _summary take them apart (form.go).
//
// # Pages
//
// The set of a search is not kept: it travels in the link to the next page, packed and
// authenticated (token.go), so pages survive a restart, work on every node and cost
// no memory. All pages of a search come from the one list of keys that the search made:
// nothing is on two pages and nothing falls between two, whatever is written
// meanwhile (PG-09). Each page reads the current resources by these keys. One that was
// removed or hidden since is left out (PG-08), so a page may be shorter than the
// others; one that has changed is shown as it is now.
//
// # When things fail
//
// A page is written into memory before its first byte goes out: it is bounded by
// [MaxMatches], [MaxIncluded] and [maxBytes]. So an error at any point becomes a whole
// answer. What the limits cut off is told in an entry with an OperationOutcome. A
// search that takes too long ends with store.ErrTooCostly.
package searchset
