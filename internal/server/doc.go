// Package server implements the HTTP API of muster on top of packages export and
// searchset. It imports no database driver.
//
// # The flow
//
// A request passes the middleware (request log, X-Request-ID, no-store, panics,
// principal), then the route for its path, then the handler for its method:
//
//	export.go    [base]/$export                kick-off
//	poll.go      [base]/$export-poll-status    status and cancel
//	binary.go    [base]/Binary/{id}            files
//	metadata.go  [base]/metadata               CapabilityStatement
//	health.go    /healthz, /readyz, /metrics   monitoring
//	search.go    [base]/{type}, [base]/{type}/{id}, [base]/   search, read, pages
//	notfound.go  all other paths               404
//
// connection.go passes requests that net/http would answer itself, such as malformed ones, the
// same way (HD-08).
//
// Before the handler, limits.go checks the request and its client against the limits:
// sizes, requests per second, concurrent downloads and searches. After the last byte,
// audit.go writes one event to the audit log.
//
// Each of these files defines its routes; [Server.Routes] lists them all. The public
// address is configured and never derived from headers (D11): each absolute URL in a
// response begins with the base URL.
//
// # When things fail
//
// Handlers return errors. outcome.go maps errors to statuses, in one table and two
// functions for the operations that deviate from it (poll and cancel). It writes the
// OperationOutcome with the request id, and logs internal causes instead of sending them
// to the client (D10). After the first byte of a file the status cannot change: the
// response ends before its announced length, which the client detects, and the cause is
// logged.
package server
