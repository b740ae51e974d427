// Package audit keeps the record of who asked for what: one event for each
// request, as one line of JSON in a log of its own (AD-01, D14).
//
// An event names the principal and the interaction, the question (the query of a
// search, the filters of a kick-off), what was given (resources, bytes, job, file), the
// outcome, and the X-Request-ID under which the server's log tells the rest. It
// never holds a token, a header of authorisation, or the body of a request
// (AD-02): [Query] is the only way a query gets into an event.
//
//	{"time":"2026-03-01T09:30:00.000Z","requestId":"0b6f…","principal":"anonymous",
//	 "remote":"192.0.2.7","interaction":"kick-off","method":"POST","path":"/fhir/$export",
//	 "filters":["Practitioner?family=Smith"],"job":"f2b1…","status":202,"bytes":0,"ms":3.1}
//
// # The file
//
// [File] appends to a file that only its owner may read, and begins a new one when it
// is full; older ones are compressed beside it under names with the time, and
// only so many are kept. One process writes to one file.
//
// # When things fail
//
// A log that cannot be written, as on a full disk, must not end the service: the
// event is lost, and said to be lost: it is counted, the server's log says so at
// once and then at most once a minute, and says when the log can be written again and how
// many events are missing. A line that was cut off by a full disk is ended before the
// next one, so that one bad line is all a reader meets.
package audit
