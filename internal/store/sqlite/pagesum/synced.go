package pagesum

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"

	"muster/internal/damage"
	"muster/internal/regularfile"

	"modernc.org/libc"
	lib "modernc.org/sqlite/lib"
)

// syncedMark records up to where a log was synced. It is in a file beside the log, which is written
// after each commit that waits for the disk, and is not synced then: after a power cut it may be one
// of an earlier commit, but never says more than what is on the disk. Before the log is truncated or
// deleted, the mark is set back, and that is synced. So a log that is shorter than its mark is
// damaged, unless it was restarted.
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
	f, err := regularfile.OpenOwn(markPath(log), os.O_RDONLY, 0)
	if err != nil {
		return m, false
	}
	defer f.Close()
	b := make([]byte, markSize+1)
	if n, err := io.ReadFull(f, b); err != io.ErrUnexpectedEOF || n != markSize || damage.Of(b[:20]) != damage.Decode(b[20:markSize]) {
		return m, false
	}
	m = syncedMark{salts: [8]byte(b), page: binary.BigEndian.Uint32(b[8:]), end: int64(binary.BigEndian.Uint64(b[12:]))}
	return m, m.page >= minPage
}

// write writes the mark of a log. If it fails, the mark before remains.
func (m syncedMark) write(log string, sync bool) error {
	mode := os.FileMode(0o600)
	if info, err := os.Stat(log); err == nil {
		mode = info.Mode().Perm()
	}
	f, err := regularfile.OpenOwn(markPath(log), os.O_WRONLY|os.O_CREATE, mode)
	if err != nil {
		return err
	}
	b := binary.BigEndian.AppendUint32(m.salts[:], m.page)
	b = binary.BigEndian.AppendUint64(b, uint64(m.end))
	_, err = f.Write(damage.Of(b).Append(b))
	if err == nil && sync {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// setBackMark ends the mark of a log that is about to be cut to a size, after all of it was moved
// into the database. The mark is synced first: a power cut must not leave one of more than the log.
func setBackMark(log string, size int64) error {
	m, ok := readMark(log)
	if !ok || m.end <= size {
		return nil
	}
	m.end = size
	if m.write(log, true) == nil {
		return nil
	}
	return os.Remove(markPath(log)) // without a mark nothing is verified
}

// limitMark ends the mark of a log at a frame that is about to be written. It ends behind it if a
// transaction was synced and could not be completed, since the disk is full.
func limitMark(log string, frame []byte, offset int64) {
	if m, ok := readMark(log); ok && m.end > offset && m.salts == [8]byte(frame[8:]) {
		m.end = offset
		_ = m.write(log, false)
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
			_ = m.write(s.path(), false) // the mark before says less
		}
	}
	return rc
}

// logTruncate truncates the log, or makes it longer.
func logTruncate(tls *libc.TLS, f uintptr, size int64) int32 {
	s := state(f)
	if setBackMark(s.path(), size) != nil {
		return lib.SQLITE_IOERR_TRUNCATE
	}
	return function[truncateFunc](at[lib.Tsqlite3_io_methods](s.methods).FxTruncate)(tls, f, size)
}

// remove deletes a file, and with a log its mark.
func remove(tls *libc.TLS, vfs, name uintptr, sync int32) int32 {
	path := libc.GoString(name)
	log := strings.HasSuffix(path, logEnding)
	if log && setBackMark(path, 0) != nil {
		return lib.SQLITE_IOERR_DELETE
	}
	rc := function[deleteFunc](original.FxDelete)(tls, vfs, name, sync)
	if log && rc == lib.SQLITE_OK {
		_ = os.Remove(markPath(path)) // it was set back: one that is left does no harm
	}
	return rc
}

// RemoveMark removes the mark that the lost log of an earlier database has left, before a database
// is created with the same name.
func RemoveMark(database string) error {
	if err := os.Remove(database + markEnding); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// LostLog reports whether a log is missing, or too short for SQLite to read it, although commits in
// it were synced. The log of a database may be deleted by another program that has moved it into the
// database, so LostLog returns false while pages are not verified; see [Verify]. The database may be
// in use.
func LostLog(path string) bool {
	info, err := os.Lstat(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) || err == nil && info.Size() > logHeaderSize || trusted.Load() {
		return false
	}
	_, lost := CheckLog(path)
	return lost
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
	if m.end <= logHeaderSize {
		return 0, false
	}
	f, err := regularfile.OpenOwn(path, os.O_RDONLY, 0)
	if err != nil {
		return 0, errors.Is(err, fs.ErrNotExist) // other errors are those of opening the database
	}
	defer f.Close()
	r := bufio.NewReaderSize(f, 1<<20)
	header := make([]byte, logHeaderSize)
	if _, err := io.ReadFull(r, header); err != nil {
		return 0, true // the mark is set back before the log is truncated
	}
	order := logOrder(header)
	sum := readSum(header[24:])
	if binary.BigEndian.Uint32(header)&^1 != logMagic || sum != (logSum{}).add(order, header[:24]) {
		return 0, true
	}
	if m.salts != [8]byte(header[16:]) {
		return 0, false // it was restarted, when all of it was in the database
	}
	b := make([]byte, frameHeaderSize+int(m.page))
	for at := int64(logHeaderSize); at < m.end; at += int64(len(b)) {
		frame++
		if _, err := io.ReadFull(r, b); err != nil {
			return frame, true
		}
		sum = sum.add(order, b[:8]).add(order, b[frameHeaderSize:])
		if m.salts != [8]byte(b[8:]) || sum != readSum(b[16:]) {
			return frame, true
		}
	}
	return 0, false
}
