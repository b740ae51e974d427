// Package load reads resources from files and writes them to a directory:
//
//	inputs → items → changes → Directory.Apply
//
// # Flow
//
// An [Input] is a file or standard input. Its content decides how it is read: with gzip or
// without, as NDJSON or as JSON documents, resources or Bundles of resources (format.go,
// read.go, document.go). Bundles are read twice, since their entries refer to each other by
// fullUrl (fullurl.go, spool.go). Other formats are refused as a whole (foreign.go). One goroutine reads all inputs and cuts them into items. Two
// goroutines prepare the items. One goroutine applies the changes in the order of the
// source, batch by batch (load.go). Memory holds a few batches of at most 4 MiB of text and
// a few resources of at most [fhir.MaxLine], however long the input is.
//
// Preparing a resource has these steps (prepare.go):
//
//  1. The text is validated strictly and parsed: JSON without duplicate keys.
//  2. The type is one of the seven types of a directory, and the id is valid.
//  3. Elements that the directory may not hold are removed (ST-01..05, SU-12).
//  4. Names of version 0.3.0 of the guide are replaced by those of 26.0.0.
//  5. versionId and lastUpdated are removed from meta.
//  6. The suppression is converted to its stored form (SU-01, A-01).
//  7. The resource is checked against the elements of FHIR R4 (package r4, shape.go): JSON of
//     another shape is refused, a broken rule is a warning.
//  8. References by fullUrl and below the base URL of the directory become Type/id
//     (references.go). References and identifiers are collected for checks across resources.
//  9. Role codes after the first are removed (OB-08), and a local identifier is added (D13).
//  10. The rules of the guide's profiles are checked; a broken rule is a warning.
//  11. The [store.Document] (RE-07) and the index entries are written.
//
// # Refusals
//
// Invalid input does not stop a load (D12). A resource that fails a check is refused: it is
// written to the rejects with file, line, type, id and reason, and is counted by kind.
// Reasons name elements and never repeat values, which may be private. If an input cannot
// be read to its end, such as a truncated gzip file, only the rest of that input is lost.
// The load continues with the next input and returns an error at the end.
//
// # Older versions
//
// A refused resource leaves its older version in the directory. That version must not be
// more public than the source says now. Each refused text is therefore scanned for
// resources, even if it is not JSON (lenient.go). The names found are passed to the
// directory as revisions: if the refused resource says that it is hidden, the stored
// version is hidden by a new version, written inside the write gate, so that deltas carry
// it and no concurrent write is lost (older.go). [Summary] and the rejects list every older
// version that stays.
//
// A line that a directory has served may show a state that its resource inherits. It must not
// become the state of its own, so such lines are compared with the stored versions in the
// same way (served.go).
//
// # Warnings
//
// A resource that breaks a rule of FHIR R4 or of the guide's profiles is loaded, since a
// directory may also hold data made for other profiles. The rules are the tables of package r4
// and of profile.go, and the invariants in invariant.go. They apply to what is stored, so an
// element that is removed for privacy is not missed. A warning has the form of a refusal and
// its own kinds ([Summary].Warned). It changes nothing in the resource, except that further
// role codes are left out. A strict load refuses a resource with warnings, unless they are
// [Kind.Tolerated].
//
// References are looked up in the directory batch by batch (crosscheck.go). A reference
// whose target comes later in the load stays pending; one that is pending at the end is
// dangling, and so is a urn: that is not the fullUrl of an entry of its Bundle. The references
// to a resource that the load removes are looked up at the end (dangling.go). References
// to other servers are counted ([Summary].Outside). At most a million references may be
// pending, and others are reported as not followed. That does not happen to files in
// loading order, nor to a folder of files named after their types.
//
// Padding after the end of gzip data is ignored and reported in [Summary.Notices].
//
// # Atomic loads
//
// An atomic load ([Config].Atomic) collects all prepared batches in memory and applies them
// in one transaction, if nothing is refused (atomic.go). The number of its changes is limited.
//
// # Errors
//
// An error of the directory or a cancelled context ends the load. Committed batches stay
// and are in the summary. Loading the same input again changes nothing: a source that is
// unchanged creates no version.
package load
