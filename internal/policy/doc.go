// Package policy holds the rules of the directory, so that export, search and read apply
// the same rules (D5).
//
// # Rules for queries
//
// Between binding and planning a query (access.go, question.go, restricted.go, suppressed.go,
// visibility.go):
//
//   - [Access] is what a client may learn in an interaction: the types that its token covers, and
//     what its policy and the options of the server allow.
//   - [CheckFilter] and [CheckSearch] refuse terms that a client may not ask: those that lead to a
//     type that it does not reach, unknown parameters, parameters that are restricted for privacy, parameters that only shape a
//     response, suppressed resources that the client may not see, and queries without a
//     parameter that narrows them.
//   - [ForSearch] and [ForDelta] set the visibility. A search and a full export find active
//     and unsuppressed resources, unless the query names the state. An export with _since
//     finds resources in any state, or all but suppressed ones. [ForOperator] hides nothing.
//   - [WithoutContacts] restricts searches by the contacts of a person.
//
// # Rules for resources
//
// Before a resource is stored (held.go, strip.go, suppression.go, state.go, refused.go,
// inherit.go):
//
//   - [Strip] removes what the directory may not hold.
//   - [ConformSuppression] writes its suppression in the form that clients know.
//   - [OwnState] returns its state.
//   - [Inherit] returns the state that it has from others ([Belongs], [Uses]), and
//     [WithInherited] writes that into it.
//   - [SaysHidden] returns the state of a resource that is rejected, and [Hide] hides the
//     stored version accordingly.
//
// # When things fail
//
// A refusal is a fhir.Issue with the place in the client's text. One response has all
// refusals of a query.
//
// Nothing here holds state, reads a clock or accesses a database; all functions are safe
// for concurrent use.
package policy
