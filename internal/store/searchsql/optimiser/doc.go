// Package optimiser turns logical plans into physical plans: it chooses the driving
// condition of each conjunction, at every step of a chain.
//
// [Optimise] compares the conditions by their number of rows. It runs counts that stop
// early, first at 100 rows, where most plans are decided, then at ten times the limit
// before. The condition with the fewest rows drives. [ByHeuristic] runs no statement
// and compares the kinds of conditions instead. A condition whose rows no index returns
// in a few ranges never drives.
//
// Counts may be cached, see [CountCache]. An outdated count may choose a slower plan,
// but never changes the result of a query.
package optimiser
