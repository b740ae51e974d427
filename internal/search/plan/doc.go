// Package plan turns a checked query into a plan: what to find, as a tree of
// conditions over index entries and row columns, in the dialect of no database.
//
// The flow of [Build]: each criterion is looked up in the registry, its values are
// read by the parameter's type and modifier (leaf.go, values.go, date.go, number.go,
// near.go), and become one node; alternatives are joined by Or, the criteria by And.
// A step of a chain becomes a [Chain], a step of _has a [Has], around what stands
// behind it (step.go); a reference that may lead to several types is planned for
// each that knows what stands behind. What the policy has implied, for the resource
// and at each step, becomes [Visible] or [AllVisible]. [Sort] reads the order.
// Package searchsql writes the plan as statements.
//
// What the planner cannot plan it refuses with fhir.Issues that name the parameter
// and its place: modifiers that a parameter does not take (SR-23), values that are
// not of its type (SR-24), and more than [MaxConditions] conditions. It never leaves
// a criterion out. A plan prints as an indented tree, for golden files and for people.
package plan
