// Package soak is what the long proofs under writers and crashes have in common.
//
//	go run ./bench/soak/deltas   chained exports while others write: nothing is lost, nothing comes twice
//	go run ./bench/soak/kills    random kills of servers, loaders and connections: every job ends well or says why
//
// Both run the real program and speak HTTP to it. They write resources whose text says
// which version it is, and a [History] knows what was written and what was
// acknowledged. Whatever an export holds is compared with the ledger line by line, so
// nothing of muster judges itself.
//
// A [Env] is where it happens: a data directory or a PostgreSQL database, and the
// program. A run takes a seed and prints it. Processes are not deterministic: the same
// seed gives the same plan, not the same race.
package soak
