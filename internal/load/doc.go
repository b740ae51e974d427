// Package load reads resources from files and puts them into a directory:
//
//	inputs → items → changes → Directory.Apply
//
// An [Input] is a file, an archive member or standard input. What it holds is
// told from its content: gzip or not, NDJSON or one JSON document, resources or
// Bundles of them. One goroutine reads and cuts it into items; two prepare them;
// one applies the changes in the order of the source, batch by batch. What is in
// memory at once is a few batches of at most 4 MiB of text, and one resource of
// indexed most [fhir.MaxLine] each, however long the input is.
//
// To prepare a resource is to read it strictly (JSON without duplicate keys, one of
// the seven types, an id), to remove what the directory may not hold (ST-01..05,
// SU-12), to bring its suppression into the stored form (SU-01, A-01), to check
// references, empty elements and the shapes of shapes.txt, to add a local identifier
// (D13), to write it as a [store.Document] (RE-07), and to find its index entries.
//
// # What does not get in
//
// Input never stops a load (D12). A resource that fails a check is refused: it
// goes with file, line, type, id and reason to the rejects, and is counted by
// kind. Reasons name places and never repeat values, which may be private. An
// input that cannot be read to its end, such as a cut gzip file, loses the rest
// of itself only; the load goes on with the next and returns an error at the end.
//
// # Older versions
//
// A refused resource leaves an older version of it in place, which must not be more
// public than what the source says now. So each refusal is looked through for the
// resources in it (glimpse.go), also where the text is no JSON or the rest of a file
// was given up. Their names go to [store.Directory] as revisions: if the refused one
// says that it is hidden, the stored version is hidden by a new one inside the write
// gate, so that deltas carry it and no other writer is undone (older.go). [Summary]
// and the rejects name every older version that stays.
//
// Padding behind the end of gzip data is left out and told in [Summary.Notices].
//
// # What gets in with a warning
//
// A resource that breaks a rule of the guide's profiles is loaded: the directory
// also takes data made for other profiles. The rules are a table in profile.go. A
// warning has the same form as a refusal and its own kinds ([Summary].Warned).
// References are looked up in the directory batch by batch; those whose target
// comes later wait for it, and what still waits at the end leads nowhere. Only
// relative references are followed. At most a million may wait; more are warned
// about as not followed, which does not happen to files in the order of loading, nor
// to a folder of files named after their types.
//
// An error of the directory or a cancelled context ends the load. What was
// committed stays and is in the summary; loading the same input again changes
// nothing that is there, since a source that says the same makes no version.
package load
