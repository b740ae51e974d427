// Package plan turns a bound query into a plan: what to find, as a tree of conditions over
// index entries and row columns, independent of the database. Package searchsql writes the
// plan as SQL.
//
// # Flow
//
// [Build] plans each term of the query. The type and the modifier of the parameter decide
// how its values are read (leaf.go, token.go, values.go, date.go, number.go, near.go). Each value
// becomes a node; alternatives are joined by [Or], terms by [And]. A step of a chain
// becomes a [Chain], a step of _has a [Has], around the condition on the resource behind
// it (step.go); a reference that may lead to several types becomes an Or with one Chain
// for each type. The visibility of the query, for the resource and at each step, becomes
// [Visible] or [AllVisible].
//
// [Plan.String] prints an indented tree, for golden files and for people.
//
// # When things fail
//
// Build refuses values that are not of the parameter's type (SR-24) and plans with more
// than [MaxConditions] conditions. The error is fhir.Issues with the place of each value.
// Names are the matter of package bound, restrictions of package policy. Build never leaves
// out a criterion.
package plan
