// Package part implements the format of an output file on disk: NDJSON lines in one gzip
// stream that any gunzip can read from start to end. The stream consists of fragments
// that can be decoded independently, and an index has their positions. Therefore the gzip
// form is served as it is stored, and a range of the identity form (the NDJSON bytes) is
// served by decoding only the fragments that it overlaps (D4).
//
// # The stream
//
//	offset  bytes                          meaning
//	0       1f 8b                          gzip
//	2       08                             deflate
//	3       00                             no flags: no name, no comment
//	4       00 00 00 00                    no time: equal lines give equal bytes
//	8       04                             fastest compression level
//	9       ff                             unknown operating system
//	10      … 00 00 ff ff                  fragment 1: deflate blocks without references to
//	                                       earlier ones, ended by an empty stored block on
//	                                       a byte boundary (a flush)
//	        … 00 00 ff ff                  fragment 2, and so on
//	n-10    03 00                          the last block, empty
//	n-8     CRC-32 of the identity bytes   little endian
//	n-4     their number modulo 2^32       little endian
//
// A fragment holds whole lines: it ends with the first line that makes its size 1 MiB or
// more. An empty part has no fragments.
//
// # The index
//
//	byte 0   02                            version of the index
//	then, for each fragment, two unsigned varints (encoding/binary) and a checksum:
//	         identity bytes of the fragment
//	         gzip bytes of the fragment
//	         CRC-32 of the identity bytes, four bytes, little endian
//
// Version 01 had no checksums; the parts that it describes are read unchecked.
//
// Offsets are the sums of the preceding sizes. The sums over all fragments, with the 10
// bytes of the header and the 10 bytes of the trailer, must equal the sizes in the part
// row, or [NewReader] rejects the index. For example, 3,000,000 identity bytes in three
// fragments take an index of about 31 bytes.
//
// # When things fail
//
// Reading a stream that was truncated or changed on disk returns an error with the number
// and position of the fragment. Bytes are returned as they are decoded, so the bytes
// before the error may be wrong. But the last byte of a fragment is returned only if the
// checksum of the whole fragment is right. A full or resumed download of a damaged file
// therefore fails; only a range that ends inside a damaged fragment can go undetected.
// The gzip form is served unchecked: gunzip checks it.
//
// A writer that was not closed leaves a stream without its last block, which gunzip
// reports as an unexpected end. Package blob does not publish such a file.
package part
