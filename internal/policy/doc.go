// Package policy holds the rules of the directory, all of them, in one place, so
// that export, search and read cannot disagree (D5). It has two sides.
//
// Questions (resolve.go, question.go, restricted.go, suppressed.go, export.go): between reading a query and
// planning it, [Resolve] gives parameters under other names their own, [Check] refuses what may not be asked: unknown parameters,
// parameters that are restricted for privacy, parameters that only shape a
// search's answer, and queries that name nothing to narrow the search by.
// [Suppressed.Check] refuses to ask for suppressed resources where the client may not.
// [ForSearch] and [ForDelta] then make the question complete: a search and a snapshot export ask for
// active and unsuppressed resources, unless the client names the state itself;
// a delta export asks for all states, or for all but suppressed, whatever the client names. What the policy
// adds is marked as implied and prints in brackets.
//
// Resources (held.go, strip.go, suppression.go, state.go, refused.go): before a resource
// is stored, [Strip] takes out what the directory may not hold, [ConformSuppression]
// brings its suppression into the form that clients understand, and [OwnState] reads
// its state. [SaysHidden] reads what a refused one says of its state, and [Hide] hides
// the version that is stored.
//
// A refusal is a fhir.Issue with the place in the client's text; all refusals of
// a question come in one answer. Nothing here holds state, reads a clock or
// touches a database; all functions may be called by several goroutines at once.
package policy
