// Package synth makes a synthetic Australia: a national healthcare provider
// directory of any size, the same bytes for everyone who asks for the same
// scale and seed.
//
// # Flow
//
// [New] draws a plan: how many records of each type there are, which
// organisation runs which locations, services and roles, and which
// practitioner fills which role. The plan is a handful of integer tables
// (about 20 bytes per role), never the records themselves. [Plan.Write] then
// writes one type as NDJSON: chunks of records are made by several workers and
// written in order, so that the bytes do not depend on how many workers there
// were. [Generate] writes all files of a data set into a folder:
//
//	Organization.ndjson … Provenance.ndjson   day 0, in load order
//	delta/d001/*.ndjson                       full new versions of day 1
//	delta/d001/changes.jsonl                  op, type, id, version before and after
//	delta/d001/removed.ids                    "Type/id" of what is gone for good
//	truth/d000/visible.ids                    "Type/id" of what a search may show
//	truth/dirty.jsonl                         the broken records and why they are broken
//	manifest.json                             counts, bytes, SHA-256, hashes of the lists used
//
// # Determinism
//
// Every record is a pure function of (seed, [Version], scale, type, index).
// All draws come from keyed splitmix64 streams (stream.go); probabilities and
// coordinates are integers; no clock, no locale, no map order, no global state.
// A change of a single byte at scale 1, seed 42 needs a new [Version]: the
// golden test refuses anything else.
//
// # What is true
//
// Records carry only the flags somebody set on them: active or status, and the
// extensions suppressed and deactivated. What follows from a flag for other
// records (SU-04, SU-05, SU-11, A-24) is left to whoever loads the data. The
// files under truth say what must be visible after that, worked out here from
// the plan alone (truth.go), so that a server can be compared with an answer
// it did not compute itself. A suppressed organisation without includeSelf
// counts as hidden. An endpoint is referred to by records of its own
// organisation only; the one that many share belongs to organisations that
// are never suppressed or inactive, so that the rule for sharing cannot matter.
// Broken records are to be loaded with a warning; of these, one that refers to
// nobody counts as hidden, since nobody can say that it may be shown.
//
// # Nobody real
//
// Identifiers come from ranges that are not in use, and ABN, ACN and Medicare
// provider numbers carry wrong check digits unless Options.ValidCheckDigits
// asks for right ones. The national figures behind the shares are those of
// Ahpra, AIHW and the ABS; the shares themselves are assumptions, not facts.
//
// # When things fail
//
// The only failures are bad options, a full or forbidden disk and a cancelled
// context. [Generate] then returns an error that names the file; what was
// already written stays, without a manifest.json, which is always written last.
package synth
