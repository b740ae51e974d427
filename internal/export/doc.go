// Package export implements bulk export: a request becomes a frozen selection of
// resources, the selection becomes files, and the files are listed in a manifest.
//
// # The flow
//
// [ParseRequest] parses the body of a kick-off once, and finds all of its problems before
// a job exists. [Service.KickOff] stores a job with the request, owned by the client. The
// workers of [Service.Run] then do two kinds of work:
//
//   - Selecting: the worker draws a transaction time T, pins it to the job, opens a
//     snapshot, and runs the plan of each filter, which yields row keys and sizes. Keys
//     are collected in one bitmap for each type, and parts are cut by size as the rows
//     stream by. A delta also has parts whose lines are not resources of the directory, such
//     as the Bundles that delete what was removed; they are generated from the same snapshot.
//     If the client tracks the membership of its filters, the export also selects what a full
//     one would hold, and keeps that as one bitmap for the next export of the client.
//     Selections, parts, generated lines and the state Writing are stored in one transaction.
//     A selection that uses up its slice ([job.Slices]) is interrupted and begun again later
//     at a new T; after the last slice the job fails with what to narrow.
//   - Writing, once for each part: the versions of the keys as of T are read in pages and
//     copied unchanged into a gzip file (package part), or the generated lines are. The
//     counts are compared with the plan, the file is committed under a name that contains
//     the fence of the claim, and the part row receives the name of the file.
//
// The transaction that stores the last part ends the job: Complete if all lines are
// present, otherwise Failed. Only a Complete job has a manifest ([Service.Poll]) and
// files ([Service.OpenFile]). The manifest is generated from the rows at each poll, so it
// cannot become inconsistent with them.
//
// # When things fail
//
// The process may be killed at any time. Its claim expires with the lease, and the work
// is repeated:
//
//   - before the selection is stored, the selection runs again at a new T; no client has
//     seen the old one;
//   - while a part is written, or when its file exists but no row names it, the part is
//     written again under a new fence. T and the lines are the same, so the bytes are the
//     same;
//   - after the row names the file, nothing is repeated.
//
// A worker that is late, because its lease was lost or the job was cancelled, removes its
// own file. The janitor removes what remains: each blob that no part row names and whose
// job is not live. A blob whose job is in no row is removed only if its name has the form
// of an export file and it is old enough (Config.StrangerAge). No blob is removed from a
// folder that belongs to another directory (Config.Owned). [Service.Cancel] removes the
// files of the job before it returns.
//
// docs/states.md shows the states of a job.
package export
