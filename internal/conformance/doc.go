// Package conformance says what muster supports: the search parameters of each
// resource type, and the CapabilityStatement that follows from them.
//
// # Flow
//
// definitions/search-parameters.json is embedded in the program. [Load] reads it
// into a [Registry], which checks it as a whole and never changes afterwards.
// Everybody who has to know a parameter asks the registry: the policy whether it
// exists or is restricted, the planner how it compares, the indexer which elements
// it reads, [CapabilityStatement] what to tell clients. So a parameter is either
// known to all of them or to none.
//
// # When things fail
//
// A mistake in the definitions is an error of [Load] that names the parameter; the
// program does not start with it. [Registry.DefinitionsHash] changes with anything
// that changes index entries; a store keeps the hash it was indexed with, and is
// refused when it differs.
package conformance
