// Package plan turns a checked query into a plan: what to find, as a tree of
// conditions over index entries and row columns, in the dialect of no database.
//
// The flow of [Build]: each criterion is looked up in the registry, its values
// are read by the parameter's type (token, string, date, reference, uri, or a
// column of the row), and become one node; alternatives are joined by Or, the
// criteria by And. Criteria that the policy has implied become one [Visible].
// Package sqlgen writes the plan as a statement.
//
// What the planner cannot plan it refuses with fhir.Issues that name the
// parameter and its place: chains, reverse chains, modifiers, and values that
// are not of the parameter's type (SR-24). It never leaves a criterion out.
// A plan prints as an indented tree, for golden files and for people.
package plan
