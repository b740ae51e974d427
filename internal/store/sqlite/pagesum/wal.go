package pagesum

import (
	"encoding/binary"
	"strings"

	"modernc.org/libc"
	lib "modernc.org/sqlite/lib"
)

// Sizes of the write-ahead log; see "WAL File Format" in the description of the file format of
// SQLite. The log is a header and frames. A frame is a header and a page.
const (
	logHeaderSize   = 32
	frameHeaderSize = 24
)

// frameAt returns where the frame of a page in the log begins, and false for other bytes.
func frameAt(amount int32, offset int64) (int64, bool) {
	at := offset - frameHeaderSize
	return at, isPage(amount, 0) && at >= logHeaderSize && (at-logHeaderSize)%(int64(amount)+frameHeaderSize) == 0
}

// logRead reads and verifies a page of the log, unless it belongs to the transaction that this
// connection is writing: SQLite computes the checksums of its frames again before it commits. The
// whole header is read when the log is recovered: SQLite then ends it at the first damaged frame,
// so all that was synced is verified before.
func logRead(tls *libc.TLS, f, buffer uintptr, amount int32, offset int64) int32 {
	s := state(f)
	if amount == logHeaderSize && offset == 0 {
		if page, damaged := CheckLog(s.path()); damaged {
			found(s.path(), page.Number)
			return lib.SQLITE_IOERR_DATA
		}
	}
	rc := s.originalRead()(tls, f, buffer, amount, offset)
	if frame, ok := frameAt(amount, offset); rc == lib.SQLITE_OK && ok && (s.uncommitted == 0 || frame < s.uncommitted) {
		rc = s.verify(tls, f, frame, memory(buffer, amount))
	}
	if rc != lib.SQLITE_OK && rc != lib.SQLITE_IOERR_SHORT_READ {
		failed(strings.TrimSuffix(s.path(), logEnding), rc)
	}
	return rc
}

// verify verifies a page of the log by the checksums of its frame and of the one before.
func (s *file) verify(tls *libc.TLS, f uintptr, frame int64, page []byte) int32 {
	header := tls.Alloc(logHeaderSize + frameHeaderSize)
	defer tls.Free(logHeaderSize + frameHeaderSize)
	for _, part := range []struct {
		to     uintptr
		amount int32
		offset int64
	}{{header, logHeaderSize, 0}, {header + logHeaderSize, frameHeaderSize, frame}} {
		if rc := s.originalRead()(tls, f, part.to, part.amount, part.offset); rc != lib.SQLITE_OK {
			return rc
		}
	}
	h := memory(header, logHeaderSize+frameHeaderSize)
	log, own := h[:logHeaderSize], h[logHeaderSize:]
	order := logOrder(log)
	if frame > logHeaderSize {
		previous := frame - int64(len(page)) - frameHeaderSize
		// The checksum of the frame before replaces the one of the header, which is read.
		if rc := s.originalRead()(tls, f, header+24, 8, previous+16); rc != lib.SQLITE_OK {
			return rc
		}
	}
	if readSum(log[24:]).add(order, own[:8]).add(order, page) != readSum(own[16:]) {
		found(s.path(), uint32((frame-logHeaderSize)/int64(frameHeaderSize+len(page)))+1)
		return lib.SQLITE_IOERR_DATA
	}
	return lib.SQLITE_OK
}

// logWrite keeps where the transaction that is being written begins, and where the last one ended.
// The header of the last frame of a transaction has the size of the database.
func logWrite(tls *libc.TLS, f, buffer uintptr, amount int32, offset int64) int32 {
	s := state(f)
	switch {
	case amount == frameHeaderSize && offset >= logHeaderSize:
		frame := memory(buffer, amount)
		if s.uncommitted == 0 || offset <= s.uncommitted { // the first one of a transaction
			limitMark(s.path(), frame, offset)
			s.uncommitted = offset
		}
		if binary.BigEndian.Uint32(frame[4:]) != 0 {
			s.uncommitted, s.committed = 0, offset
		}
	case offset == 0: // the log is restarted
		s.committed = 0
	}
	return s.originalWrite()(tls, f, buffer, amount, offset)
}

// logOrder returns the order of the bytes in the words that the checksums of a log add up.
func logOrder(header []byte) binary.ByteOrder {
	if header[3]&1 != 0 {
		return binary.BigEndian
	}
	return binary.LittleEndian
}

// logSum is the checksum of SQLite's log up to some frame.
type logSum [2]uint32

// readSum reads the sum in the first bytes of a header or a frame.
func readSum(p []byte) logSum {
	return logSum{binary.BigEndian.Uint32(p), binary.BigEndian.Uint32(p[4:])}
}

// add returns the sum of the data before, followed by p, whose length is a multiple of eight.
func (s logSum) add(order binary.ByteOrder, p []byte) logSum {
	if order == binary.LittleEndian { // static calls take a fifth of the time
		for ; len(p) >= 8; p = p[8:] {
			s[0] += binary.LittleEndian.Uint32(p) + s[1]
			s[1] += binary.LittleEndian.Uint32(p[4:]) + s[0]
		}
		return s
	}
	for ; len(p) >= 8; p = p[8:] {
		s[0] += binary.BigEndian.Uint32(p) + s[1]
		s[1] += binary.BigEndian.Uint32(p[4:]) + s[0]
	}
	return s
}
