// Package conformance holds the definitions of search parameters of each resource type, and
// computes the CapabilityStatement from them.
//
// # Flow
//
// definitions/search-parameters.json is embedded in the program. [Load] reads it into a
// [Registry], validates it as a whole, and never changes it. All packages that need a
// parameter use the registry: package bound binds the names of queries, policy reads what is
// restricted, plan how a parameter compares, index which elements it reads, and
// [CapabilityStatement] what the server supports. A parameter is known to all of them or to
// none. definitions/value-sets.json has the systems that codes and booleans imply. Package
// policy decides what follows from a definition.
//
// # When things fail
//
// [Load] returns an error for a mistake in the definitions, which names the parameter; the
// program does not start. [Registry.DefinitionsHash] changes with everything that changes
// index entries. A store keeps the hash of its index, and cannot be opened with another.
package conformance
