// Package metrics counts what a server does, for Prometheus. It is told by the small
// observer interfaces of the packages above and below (server.Observer,
// export.Observer, store.Options.GateWaited, audit.Options.Lost), so that none of them knows
// Prometheus; and it asks the store for the jobs when it is scraped.
//
// The names are in docs/metrics.md, which a test holds against this package. Labels
// are of a fixed set, whatever clients send: routes are patterns, never paths, and methods
// that HTTP does not know are "other".
package metrics
