// Package synth generates a synthetic national healthcare provider directory for Australia,
// of any size. The same scale and seed always yield the same bytes.
//
// # Flow
//
// [New] draws a plan: the number of records of each type, the locations, services and roles
// of each organisation, and the practitioner of each role. The plan is a few integer tables
// (about 20 bytes per role) and contains no records. [Plan.Write] writes one type as
// NDJSON. Several workers generate chunks of records, which are written in order, so that
// the bytes do not depend on the number of workers. [Generate] writes all files of a data
// set to a folder:
//
//	Organization.ndjson … Provenance.ndjson   day 0, in loading order
//	delta/d001/*.ndjson                       full new versions of day 1
//	delta/d001/changes.jsonl                  op, type, id, version before and after
//	delta/d001/removed.ids                    "Type/id" of records that were removed
//	truth/d000/visible.ids                    "Type/id" of records that a search may return
//	truth/dirty.jsonl                         the broken records, and what is wrong with them
//	manifest.json                             counts, bytes, SHA-256, hashes of the lists used
//
// # Determinism
//
// Every record is a pure function of (seed, [Version], scale, type, index). All draws come
// from keyed splitmix64 streams (stream.go). Probabilities and coordinates are integers. No
// record depends on a clock, a locale, map order or global state. A change of a single byte
// at scale 1, seed 42 requires a new [Version]; the golden test enforces this.
//
// # Visibility
//
// Records have only flags that were set on them explicitly: active or status, and the
// extensions suppressed and deactivated. The effect of a flag on other records (SU-04,
// SU-05, SU-11, A-24) is left to the program that loads the data. The files under truth
// list the records that must be visible after that. They are computed from the plan alone
// (truth.go), so that a server can be compared with a result that it did not compute
// itself. A suppressed organisation without includeSelf counts as hidden. An endpoint is
// hidden if all records that refer to it are. Only records of its own organisation refer to
// it, except for the one endpoint that many records share, which is always visible. Broken records
// are to be loaded with a warning. An organisation or a practitioner that does not exist hides
// nothing.
//
// # Fictitious data
//
// Identifiers come from unused ranges. ABN, ACN and Medicare provider numbers have wrong
// check digits unless Options.ValidCheckDigits is set. The national figures are those of
// Ahpra, AIHW and the ABS. The shares derived from them are assumptions.
//
// # Errors
//
// The only errors are invalid options, a folder that cannot be written, a full disk and a
// cancelled context. [Generate] then returns an error that names the file. Files that were
// already written stay, without manifest.json, which is written last.
package synth
