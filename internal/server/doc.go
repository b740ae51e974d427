// Package server is the HTTP side of muster: it turns requests into calls of
// packages export and searchset, and what comes back into answers of the guide. It knows no
// database.
//
// # The flow
//
// A request passes the middleware (access log, X-Request-ID, no-store, panics,
// principal), then the route for its path, then the endpoint for its method:
//
//	export.go    [base]/$export                kick-off
//	poll.go      [base]/$export-poll-status    status and cancel
//	binary.go    [base]/Binary/{id}            files
//	metadata.go  [base]/metadata               what this server can do
//	health.go    /healthz, /readyz             for machines that watch it
//	search.go    [base]/{type}, [base]/{type}/{id}, [base]/   search, read, pages
//	elsewhere.go everything else               what is not offered, said clearly
//
// Before the endpoint, limits.go holds the request and its client against the limits: sizes,
// requests in a second, downloads at a time. After the last byte, audit.go gives one event
// to the audit log.
//
// Each owner gives its routes; [Server.Routes] lists them all. The public
// address is configured and never guessed from headers (D11): everything absolute
// that a client gets begins with the base URL.
//
// # When things fail
//
// Endpoints return errors. outcome.go holds the only table from an error to a
// status; it writes the OperationOutcome with the request id, and keeps causes that are
// not the client's business for the log (D10). Once the first byte of a file is
// out nothing can be said any more: the answer breaks off before its announced
// length, the client sees that, and the cause is in the log.
package server
