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
//	byte 0    03                           version of the index
//	byte 1    seal                         checksum ([damage.Sum]) of the numbers and the SHA-256
//	                                       of the part row, and of all bytes that follow
//	byte 9    CRC-32 of all identity bytes four bytes, little endian, as in the trailer
//	then, for each fragment, two unsigned varints (encoding/binary) and two checksums:
//	          identity bytes of the fragment
//	          gzip bytes of the fragment
//	          CRC-32 of the identity bytes, four bytes, little endian
//	          checksum of the gzip bytes, eight bytes
//
// Version 02 had no seal and no checksums of gzip bytes, and version 01 no checksums at all. The
// files of version 02 are verified by decoding them; those of version 01 are not verified.
//
// Offsets are the sums of the preceding sizes. The sums over all fragments, with the 10
// bytes of the header and the 10 bytes of the trailer, must equal the sizes in the part
// row, or [NewReader] rejects the index. For example, 3,000,000 identity bytes in three
// fragments take an index of about 67 bytes.
//
// # When things fail
//
// Reading a stream that was truncated or changed on disk returns an error with the number
// and position of the fragment. In both forms, a fragment is verified before its first byte is
// returned, so a download of a damaged file breaks off before the damaged fragment, and a range
// of it is right or fails. Since a slow client may read a fragment long after that, the checksum
// is computed again over the bytes that are returned, and the last byte of a fragment that is read
// from its start is returned only if it is right. Memory does not grow with the size of a fragment.
//
// A writer that was not closed leaves a stream without its last block, which gunzip
// reports as an unexpected end. Package blob does not publish such a file.
package part
