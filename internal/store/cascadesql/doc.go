// Package cascadesql finds the resources on which states depend, and keeps what a cascade has to
// know, in the tables of any SQL database. It implements writepath.Graph except for the own
// documents, which a driver inserts in its own way.
//
// # Tables
//
// The references of current resources are in ix_reference. Three more tables are written here:
//
//	own_form           row_key, tail, checksum           the own document of a resource that
//	                                                     inherits a state, from the element
//	                                                     after lastUpdated
//	removed_reference  row_key, param, id, own_visibility   a reference by which a removed
//	                                                     resource belonged to an owner or used an
//	                                                     Endpoint, with its last own state
//	cascade            row_key, level, touched, done     the rows of an unfinished cascade, which
//	                                                     are pending
//
// PostgreSQL has a row with the key 0 in each of them, by which a lost table is noticed.
//
// A tombstone keeps the last own state (own_visibility), for what still refers to an owner.
package cascadesql
