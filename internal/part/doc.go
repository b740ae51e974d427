// Package part is the format of an output file at rest: NDJSON lines in one gzip
// stream that any gunzip reads from start to end, made of fragments that can be
// decoded one by one, with an index of where they begin. So the gzip form is
// served as it lies on disk, and a range of the identity form (the NDJSON bytes)
// is served by decoding only the fragments that it touches (D4).
//
// # The stream
//
//	offset  bytes                          what
//	0       1f 8b                          gzip
//	2       08                             deflate
//	3       00                             no flags: no name, no comment
//	4       00 00 00 00                    no time: equal lines give equal bytes
//	8       04                             written by the fastest level
//	9       ff                             system unknown
//	10      … 00 00 ff ff                  fragment 1: deflate blocks that refer to nothing
//	                                       before them, ended by an empty stored block on a
//	                                       byte boundary (a flush)
//	        … 00 00 ff ff                  fragment 2, and so on
//	n-10    03 00                          the last block, empty
//	n-8     CRC-32 of the identity bytes   little endian
//	n-4     their number modulo 2^32       little endian
//
// A fragment holds whole lines: it ends with the first line that takes it to 1
// MiB or beyond. An empty part has no fragment.
//
// # The index
//
//	byte 0   02                            version of the index
//	then, for each fragment, two unsigned varints (encoding/binary) and a checksum:
//	         identity bytes of the fragment
//	         gzip bytes of the fragment
//	         CRC-32 of the identity bytes, four bytes, little endian
//
// Version 01 had no checksums; its parts are read unchecked.
//
// Offsets are the sums of what stands before. The sums over all fragments, with
// the 10 bytes before and the 10 after them, must equal the sizes that the part
// row holds, or [NewReader] refuses the index. For example 3,000,000 identity
// bytes in three fragments take an index of about 31 bytes.
//
// # When things fail
//
// A stream cut short or changed on disk gives an error on reading, with the
// number of the fragment and its place. Bytes are given out as they are decoded, so
// what stands before the error may be wrong; but the last byte of a fragment is
// never given out unless the checksum of the whole fragment is right. So a download
// breaks off, whole or resumed, and only a range that ends inside a spoilt fragment
// can go unnoticed. The gzip form is served as it lies there: gunzip checks it.
// A writer that was not closed leaves a stream without its last
// block, which gunzip reports as unexpected end: package blob does not publish
// it.
package part
