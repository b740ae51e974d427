// Package soak holds the long-running tests with concurrent writers and crashes.
//
//	go run ./bench/soak/deltas   chained exports during writes: nothing is lost or repeated
//	go run ./bench/soak/kills    random kills of servers, loaders and connections: every job ends
//	                             with its files or with a reason
//	go run ./bench/soak/damage   damaged copies of a directory and of export files: nothing that is
//	                             delivered is wrong
//	go run ./bench/soak/attack   attackers beside an honest client: it is served, and the
//	                             server stays within its limits
//	go run ./bench/soak/rules    random changes of a small directory: clients see what a model of
//	                             the rules says
//
// They run the real program and speak HTTP to it. The first two write resources whose text states
// their version, and a [History] records what was written and what was acknowledged. The
// contents of all exports are compared with the history line by line, so muster does not
// check itself.
//
// An [Env] is where a test runs: the program, and a data directory or a PostgreSQL
// database. A run takes a seed and prints it. Processes are not deterministic: the same
// seed leads to the same schedule, but not to the same races.
package soak
