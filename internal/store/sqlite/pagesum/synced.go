package pagesum

import (
	"bufio"
	"encoding/binary"
	"io"
	"os"
	"strings"

	"muster/internal/damage"

	"modernc.org/libc"
	lib "modernc.org/sqlite/lib"
)

// syncedMark records up to where a log was synced. It is in a file beside the log, which is written
// after each commit that waits for the disk, and is not synced itself: after a power cut it may be
// one of an earlier commit, but never says more than what is on the disk.
type syncedMark struct {
	salts [8]byte // of the log: it gets others when it is restarted
	page  uint32  // bytes
	end   int64   // offset behind the last frame
}

const (
	logEnding  = "-wal"
	markEnding = "-synced"
	markSize   = 20 + damage.Size
	logMagic   = 0x377f0682 // the last bit is the order of the bytes
)

// markPath returns the path of the mark of the log at path.
func markPath(path string) string { return strings.TrimSuffix(path, logEnding) + markEnding }

// readMark returns false if there is no mark, or a damaged one.
func readMark(log string) (m syncedMark, ok bool) {
	b, err := os.ReadFile(markPath(log))
	if err != nil || len(b) != markSize || damage.Of(b[:20]) != damage.Decode(b[20:]) {
		return m, false
	}
	m = syncedMark{salts: [8]byte(b), page: binary.BigEndian.Uint32(b[8:]), end: int64(binary.BigEndian.Uint64(b[12:]))}
	return m, m.page >= minPage
}

// write writes the mark of a log. If it fails, the mark before remains, which says less.
func (m syncedMark) write(log string) {
	mode := os.FileMode(0o600)
	if info, err := os.Stat(log); err == nil {
		mode = info.Mode().Perm()
	}
	f, err := os.OpenFile(markPath(log), os.O_WRONLY|os.O_CREATE, mode)
	if err != nil {
		return
	}
	b := binary.BigEndian.AppendUint32(m.salts[:], m.page)
	b = binary.BigEndian.AppendUint64(b, uint64(m.end))
	_, _ = f.Write(damage.Of(b).Append(b))
	_ = f.Close()
}

// limitMark ends the mark of a log at a frame that is about to be written. It ends behind it if a
// transaction was synced and could not be completed, since the disk is full.
func limitMark(log string, frame []byte, offset int64) {
	if m, ok := readMark(log); ok && m.end > offset && m.salts == [8]byte(frame[8:]) {
		m.end = offset
		m.write(log)
	}
}

// logSync syncs the log, and then records the last commit of this connection that is in it.
func logSync(tls *libc.TLS, f uintptr, flags int32) int32 {
	s := state(f)
	rc := function[syncFunc](at[lib.Tsqlite3_io_methods](s.methods).FxSync)(tls, f, flags)
	last := s.committed
	s.committed = 0
	if rc != lib.SQLITE_OK || last == 0 {
		return rc
	}
	buffer := tls.Alloc(logHeaderSize + frameHeaderSize)
	defer tls.Free(logHeaderSize + frameHeaderSize)
	if s.originalRead()(tls, f, buffer, logHeaderSize, 0) == lib.SQLITE_OK && s.originalRead()(tls, f, buffer+logHeaderSize, frameHeaderSize, last) == lib.SQLITE_OK {
		header, frame := memory(buffer, logHeaderSize), memory(buffer+logHeaderSize, frameHeaderSize)
		m := syncedMark{salts: [8]byte(header[16:]), page: binary.BigEndian.Uint32(header[8:])}
		if m.salts == [8]byte(frame[8:]) { // the log was not restarted since
			m.end = last + frameHeaderSize + int64(m.page)
			m.write(s.path())
		}
	}
	return rc
}

// remove deletes a file, and with a log its mark.
func remove(tls *libc.TLS, vfs, name uintptr, sync int32) int32 {
	rc := function[deleteFunc](original.FxDelete)(tls, vfs, name, sync)
	if path := libc.GoString(name); rc == lib.SQLITE_OK && strings.HasSuffix(path, logEnding) {
		_ = os.Remove(markPath(path)) // one without a log is ignored
	}
	return rc
}

// CheckLog returns the first damaged frame of a log, or its header as frame 0, and whether there is
// one. It looks at the part of the log that was synced when a commit waited for the disk. What
// follows may be of a transaction that a crash has cut off. The database may be in use.
func CheckLog(path string) (Page, bool) {
	for {
		m, ok := readMark(path)
		if !ok {
			return Page{}, false
		}
		// The log may be restarted after its header was read. The second look sees that.
		first, damaged := m.check(path)
		if damaged {
			first, damaged = m.check(path)
		}
		if !damaged {
			return Page{}, false
		}
		if again, ok := readMark(path); ok && again == m {
			return pageOf(path, first), true
		}
	}
}

// check returns the first damaged frame before the mark.
func (m syncedMark) check(path string) (frame uint32, damaged bool) {
	f, err := os.Open(path)
	if err != nil {
		return 0, false
	}
	defer f.Close()
	r := bufio.NewReaderSize(f, 1<<20)
	header := make([]byte, logHeaderSize)
	if _, err := io.ReadFull(r, header); err != nil {
		return 0, false // it was moved into the database, and truncated
	}
	order := logOrder(header)
	sum := readSum(header[24:])
	valid := binary.BigEndian.Uint32(header)&^1 == logMagic && sum == (logSum{}).add(order, header[:24])
	if valid && m.salts != [8]byte(header[16:]) {
		return 0, false // it was restarted, when all of it was in the database
	}
	b := make([]byte, frameHeaderSize+int(m.page))
	for at := int64(logHeaderSize); at < m.end; at += int64(len(b)) {
		frame++
		if _, err := io.ReadFull(r, b); err != nil {
			return frame, valid
		}
		ours := m.salts == [8]byte(b[8:])
		if !valid { // the header is damaged if there are frames of it
			if ours {
				return 0, true
			}
			continue
		}
		sum = sum.add(order, b[:8]).add(order, b[frameHeaderSize:])
		if !ours || sum != readSum(b[16:]) {
			return frame, true
		}
	}
	return 0, false
}
