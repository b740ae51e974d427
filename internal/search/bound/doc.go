// Package bound binds the names of a parsed query to the definitions of search
// parameters.
//
// # Flow
//
// [Bind] walks the tree of package query once. For each node and each type that the
// resource at the node may have, it looks the name up in the registry once. The result
// is a [Query]: a tree of the same shape in which each node holds its definitions and
// the types that its references may lead to. An alias with a dot, such as agent.who,
// becomes the parameter that it names.
//
// Package policy decides which terms of a bound query a client may ask, and sets the
// [Visibility]. Package plan reads the values. Neither asks the registry again.
//
// # An example
//
// Provenance?target.name=a has one term:
//
//	Chain target    Provenance: to Organization, Location, Endpoint, …
//	  Criterion name  definitions: Organization?name, Location?name, Practitioner?name, …
//
// The targets of the bound chain are only the types with a parameter name.
//
// # When things fail
//
// Bind never fails. A term with an unknown or restricted name, a step that leads nowhere or
// a modifier that the parameter does not take has a [Problem], which says what is wrong,
// where, and what to write instead (SR-22, SR-23, SR-30). Each term has at most one: the
// first from the left. Package policy returns it to the client unless a rule refuses the
// term first.
//
// Nothing here holds state; all functions are safe for concurrent use.
package bound
