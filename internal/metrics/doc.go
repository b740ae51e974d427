// Package metrics collects the metrics of a server for Prometheus. It implements the
// observer interfaces of other packages (server.Observer, export.Observer,
// store.Options.GateWaited, audit.Options.Lost), so that none of them imports Prometheus,
// and reads the live jobs from the store at each scrape.
//
// docs/metrics.md lists the names; a test compares it with this package. The set of label
// values is fixed and does not depend on clients: routes are patterns instead of paths,
// and methods that HTTP does not define are "other".
package metrics
