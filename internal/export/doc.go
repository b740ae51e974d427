// Package export is the bulk export: a request becomes a frozen selection of
// resources, the selection becomes files, and the files become a manifest.
//
// # The flow
//
// [ParseRequest] reads the body of a kick-off, once, and finds every problem of
// it before a job exists. [Service.KickOff] stores a job with the request, in the
// client's name. From there two kinds of work follow, done by the workers of
// [Service.Run]:
//
//   - Selecting: a transaction time T is drawn and pinned to the job, a snapshot
//     opened, and each filter's plan yields row keys and sizes. Keys go into one
//     bitmap for each type, and parts are cut by bytes as the sizes stream by.
//     Selections, parts and the state Writing are stored in one transaction.
//   - Writing, once for each part: the versions of the keys as of T are read in
//     pages and copied, byte for byte, into a gzip file (package part). The counts
//     are held against the plan, the file is committed under a name that carries
//     the fence of the claim, and the part row names the file.
//
// The transaction that stores the last part decides about the job: Complete when
// every line is there, Failed when not. Only a Complete job has a manifest
// ([Service.Poll]) and files ([Service.OpenFile]). The manifest is made from the
// rows each time, so there is nothing to keep in step.
//
// # When things fail
//
// The process may die anywhere; the claim ends with its lease and the work is
// done again:
//
//   - before the selection is stored: it runs again at a new T, which no client
//     has seen;
//   - while a part is written, or when its file stands but no row names it: the
//     part is written again under a new fence. T and the lines are the same, so
//     the bytes are the same;
//   - after the row names the file: nothing is done twice.
//
// A worker that is late, because its lease was lost or the job was cancelled,
// removes its own file; what it cannot remove, the janitor does: it clears every
// blob that no part row names and whose job is not live any more; one whose job no row
// knows only when it is old (Config.StrangerAge) and named as an export's, and none in a
// folder that is not the directory's (Config.Owned). [Service.Cancel] removes the files of the job before it
// returns.
//
// Job states are drawn in docs/states.md.
package export
