// Package audit writes the audit log: one event for each request that is served, as one line
// of JSON in a separate file (AD-01, D14). Health checks and scrapes that succeed have no
// event.
//
// An event has the principal and the interaction, the parameters (the query of a search,
// the filters of a kick-off), the result (resources, bytes, job, file), the status, and
// the X-Request-ID, under which the server's log has further details. It never holds a
// token, an Authorization header, or the body of a request (AD-02): queries are added to
// an event only by [Query].
//
//	{"n":7,"prev":"9f86d0…","time":"2026-03-01T09:30:00.000Z","requestId":"0b6f…",
//	 "principal":"anonymous","remote":"192.0.2.7","interaction":"kick-off","method":"POST",
//	 "path":"/fhir/$export","filters":["Practitioner?family=Smith"],"job":"f2b1…","status":202,
//	 "bytes":0,"ms":3.1}
//
// # Refused requests
//
// A request that was answered with an error, whatever the reason, is a refused one. A client can send
// such requests far faster than any others. The first ones of each client in a minute have an event
// each, so that one can see what was refused to whom. The further ones that a client was refused
// within a second are one event ([File.RecordRefused]), with their number by status and by route, so
// that they do not wash out the history. A crash loses at most the events of the last second of them.
//
// # The file
//
// [File] appends to a file that only its owner may read. A full file is rotated: it is
// renamed with the time, and compressed meanwhile. Rotated files are removed when their events are
// older than the retention, and the oldest ones beyond a number to keep, which is reported
// if they are younger. Only one process may write to a file.
//
// # The chain
//
// Each line begins with its number and the hash of the line before (SHA-256 over its bytes with the
// newline), also across rotated files. The first line of a log, and of each further file, is a
// [Notice], so that lines that are removed from the beginning of a file are missed too. [Verify]
// follows the chain. It finds each line that was changed, removed, inserted or moved, apart from the
// last ones: a program that can write to the file can also continue the chain. The head of the chain is
// therefore written to the server's log, which is kept elsewhere: at the start, each hour, at each
// rotation and at the end. A log that has a noted head has all events until then.
//
// The chain of a log of an older version begins after its last line.
//
// # When things fail
//
// A log that cannot be written, for example on a full disk, must not stop the service.
// The event is lost and counted. The loss is logged in the server's log at once and then
// at most once a minute; when the log can be written again, that is logged with the
// number of lost events, and a notice in the log has it too. A line that was written in part is cut
// off. After a crash [Open] does that: a notice has what was cut off, and the number of its bytes.
package audit
