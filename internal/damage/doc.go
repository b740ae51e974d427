// Package damage detects stored data that changed on their way to the disk, on it, or back,
// and reports them. It has the checksum that rows, selections, requests and part files
// carry, and the error for data that do not match it.
//
// # The checksum
//
// A [Sum] has 64 bits: the CRC-32 of the data with the polynomial of IEEE 802.3 above the one
// with that of Castagnoli. The two polynomials have no common factor, so together they are a
// CRC of 64 bits: each error burst of up to 64 bits is detected, and any other change remains
// undetected with a probability of 2⁻⁶⁴. Processors compute both in hardware. The checksum
// protects against accidents, not against people: who can write the data can write their
// checksum.
//
// # The error
//
// An [Error] says for the operator which thing is damaged and what to do. Clients read that the
// data are damaged, without names. No repetition of the work helps, so a job fails at once.
package damage
