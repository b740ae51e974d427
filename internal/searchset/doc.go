// Package searchset implements FHIR search and read over a store: it runs the search
// and writes the searchset Bundle.
//
// # Flow
//
// [Service.Search] parses the URL with package search, reads the first matches and their
// total from the store, and builds a [resultSet]: the row keys of at most [MaxMatches]
// matches, with all settings that later pages need. [Service.Page] restores the result
// set of an earlier search. The same function writes the first page and the later
// pages: the matches, the resources of _include and _revinclude (include.go), and
// warnings. Resources are copied byte for byte from the store; only _elements and
// _summary parse them (form.go).
//
// # Pages
//
// The server does not store result sets. The link to the next page contains the result
// set, encrypted and authenticated (token.go). Pages therefore survive a restart, work
// on every node and use no memory. All pages of a search use the list of keys of that
// search, so concurrent writes cannot repeat or skip a match (PG-09). Each page reads the
// current versions of its resources. It leaves out resources that were removed or hidden
// after the search (PG-08), so it may have fewer matches than other pages.
//
// # Errors
//
// A page is written to memory before it is sent; [MaxMatches], [MaxIncluded] and
// [maxBytes] limit its size. An error at any point therefore produces a complete error
// response. An entry with an OperationOutcome reports matches or included resources left
// out because of these limits. A search that takes too long fails with
// store.ErrTooCostly.
package searchset
