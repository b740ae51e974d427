// Package physical defines physical plans: the value that the optimiser hands to the
// SQL writer.
//
// A logical plan (package plan) says what to find. A physical plan also says how: for
// each conjunction, which condition drives. The driving condition produces a set of
// rows through value-first indexes; the other conditions are checked for each of these
// rows through the row-first tables. The same holds at every step of a chain.
package physical
