package pagesum

import (
	"errors"
	"fmt"
	"math/bits"
	"sync"
	"sync/atomic"
	"unsafe"

	"muster/internal/damage"

	"modernc.org/libc"
	_ "modernc.org/sqlite" // configures the library before it is initialised
	lib "modernc.org/sqlite/lib"
)

// Name is the name of the VFS.
const Name = "pagesum"

// The functions of C that are called or replaced.
type (
	openFunc  = func(tls *libc.TLS, vfs, name, file uintptr, flags int32, outFlags uintptr) int32
	readFunc  = func(tls *libc.TLS, file, buffer uintptr, amount int32, offset int64) int32
	writeFunc = func(tls *libc.TLS, file, buffer uintptr, amount int32, offset int64) int32
	closeFunc = func(tls *libc.TLS, file uintptr) int32
	traitFunc = func(tls *libc.TLS, file uintptr) int32
	fetchFunc = func(tls *libc.TLS, file uintptr, offset int64, amount int32, page uintptr) int32
	syncFunc  = func(tls *libc.TLS, file uintptr, flags int32) int32

	truncateFunc = func(tls *libc.TLS, file uintptr, size int64) int32

	deleteFunc = func(tls *libc.TLS, vfs, name uintptr, sync int32) int32
)

// file is the state of an open database, in the memory of SQLite behind the file of the original
// VFS.
type file struct {
	methods     uintptr // of the original VFS
	name        uintptr // the path, a string of C that lives as long as the file
	sums        bool    // of a database: its pages have checksums
	uncommitted int64   // of a log: the offset of the first frame that is not committed, or 0
	committed   int64   // of a log: the offset of the last frame of a commit that is not synced, or 0
}

var (
	original  *lib.Tsqlite3_vfs
	stateAt   uintptr // of a file: the offset of its state
	failure   = register()
	tableLock sync.Mutex
	tables    = map[table]uintptr{}
)

// table is a kind of files whose methods are replaced.
type table struct {
	original uintptr // methods
	log      bool
}

// trusted is set when wrong checksums of pages are not reported.
var trusted atomic.Bool

// Verify sets whether pages are verified that the process reads. Defaults to true. Frames of a log
// always are.
func Verify(on bool) { trusted.Store(!on) }

// Registered returns an error if the VFS is not in use.
func Registered() error { return failure }

// Original returns the name of the VFS without checksums.
func Original() string { return libc.GoString(original.FzName) }

// at returns what is at an address of memory of C.
func at[T any](p uintptr) *T { return (*T)(*(*unsafe.Pointer)(unsafe.Pointer(&p))) }

// function returns the Go function of a pointer to a function of C.
func function[F any](p uintptr) F { return *(*F)(unsafe.Pointer(&struct{ uintptr }{p})) }

// pointer returns a Go function as a pointer to a function of C. It must be one of a package.
func pointer[F any](f F) uintptr { return *(*uintptr)(unsafe.Pointer(&f)) }

func memory(p uintptr, size int32) []byte { return unsafe.Slice(at[byte](p), size) }

// register makes the VFS the default one of the process.
func register() error {
	tls := libc.NewTLS() // kept as long as the VFS
	found := lib.Xsqlite3_vfs_find(tls, 0)
	if found == 0 {
		return errors.New("SQLite has no default VFS")
	}
	original = at[lib.Tsqlite3_vfs](found)
	stateAt = (uintptr(original.FszOsFile) + 7) &^ 7
	name, err := libc.CString(Name)
	if err != nil {
		return err
	}
	ours := libc.Xmalloc(tls, libc.Tsize_t(unsafe.Sizeof(*original)))
	if ours == 0 {
		return errors.New("no memory for a VFS")
	}
	v := at[lib.Tsqlite3_vfs](ours)
	*v = *original
	v.FszOsFile = int32(stateAt + unsafe.Sizeof(file{}))
	v.FpNext, v.FzName, v.FxOpen, v.FxDelete = 0, name, pointer[openFunc](open), pointer[deleteFunc](remove)
	if rc := lib.Xsqlite3_vfs_register(tls, ours, 1); rc != lib.SQLITE_OK {
		return fmt.Errorf("register the VFS %s: code %d", Name, rc)
	}
	return nil
}

// open opens a file. All files are those of the original VFS; databases and their logs get other
// methods.
func open(tls *libc.TLS, vfs, name, f uintptr, flags int32, outFlags uintptr) int32 {
	rc := function[openFunc](original.FxOpen)(tls, vfs, name, f, flags, outFlags)
	if rc != lib.SQLITE_OK || flags&(lib.SQLITE_OPEN_MAIN_DB|lib.SQLITE_OPEN_WAL) == 0 || name == 0 {
		return rc
	}
	base, s := at[lib.Tsqlite3_file](f), state(f)
	*s = file{methods: base.FpMethods, name: name}
	log := flags&lib.SQLITE_OPEN_WAL != 0
	ours := methods(tls, table{base.FpMethods, log})
	if ours == 0 {
		_ = function[closeFunc](at[lib.Tsqlite3_io_methods](base.FpMethods).FxClose)(tls, f)
		base.FpMethods = 0
		return lib.SQLITE_NOMEM
	}
	base.FpMethods = ours
	if !log {
		s.readHeader(tls, f)
	}
	return rc
}

func state(f uintptr) *file { return at[file](f + stateAt) }

// methods returns the methods of a kind of files, or 0 without memory.
func methods(tls *libc.TLS, kind table) uintptr {
	tableLock.Lock()
	defer tableLock.Unlock()
	if m, ok := tables[kind]; ok {
		return m
	}
	p := libc.Xmalloc(tls, libc.Tsize_t(unsafe.Sizeof(lib.Tsqlite3_io_methods{})))
	if p == 0 {
		return 0
	}
	m := at[lib.Tsqlite3_io_methods](p)
	*m = *at[lib.Tsqlite3_io_methods](kind.original)
	if kind.log {
		m.FxRead, m.FxWrite, m.FxSync = pointer[readFunc](logRead), pointer[writeFunc](logWrite), pointer[syncFunc](logSync)
		m.FxTruncate = pointer[truncateFunc](logTruncate)
	} else {
		m.FxRead, m.FxWrite, m.FxSync = pointer[readFunc](read), pointer[writeFunc](write), pointer[syncFunc](syncFile)
		m.FxDeviceCharacteristics = pointer[traitFunc](traits)
		if m.FiVersion >= 3 {
			m.FxFetch = pointer[fetchFunc](fetch)
		}
	}
	tables[kind] = p
	return p
}

// readHeader reads in the file whether its pages have checksums. VACUUM may begin to write them
// while the file is open.
func (s *file) readHeader(tls *libc.TLS, f uintptr) {
	header := tls.Alloc(headerSize)
	defer tls.Free(headerSize)
	if s.originalRead()(tls, f, header, headerSize, 0) == lib.SQLITE_OK {
		s.sums = hasSums(memory(header, headerSize))
	}
}

func (s *file) path() string { return libc.GoString(s.name) }

func (s *file) originalRead() readFunc {
	return function[readFunc](at[lib.Tsqlite3_io_methods](s.methods).FxRead)
}

func (s *file) originalWrite() writeFunc {
	return function[writeFunc](at[lib.Tsqlite3_io_methods](s.methods).FxWrite)
}

// read reads and verifies a page. Other reads are those of parts of the header. SQLite takes what
// is missing of a page at the end of the file as zeros, and so does read.
func read(tls *libc.TLS, f, buffer uintptr, amount int32, offset int64) int32 {
	s := state(f)
	rc := s.originalRead()(tls, f, buffer, amount, offset)
	if rc != lib.SQLITE_OK && rc != lib.SQLITE_IOERR_SHORT_READ || !isPage(amount, offset) {
		return rc
	}
	page := memory(buffer, amount)
	if offset == 0 {
		s.sums = hasSums(page)
	}
	number := uint32(offset/int64(amount)) + 1
	if !trusted.Load() && (s.sums && !right(number, page) || offset == 0 && lostSums(page)) {
		found(s.path(), number)
		return lib.SQLITE_IOERR_DATA
	}
	return rc
}

// write writes a page with its checksum.
func write(tls *libc.TLS, f, buffer uintptr, amount int32, offset int64) int32 {
	s := state(f)
	if isPage(amount, offset) {
		page := memory(buffer, amount)
		if offset == 0 {
			s.sums = hasSums(page)
		} else if !s.sums {
			s.readHeader(tls, f)
		}
		if s.sums {
			seal(uint32(offset/int64(amount))+1, page)
		}
	}
	rc := s.originalWrite()(tls, f, buffer, amount, offset)
	if rc != lib.SQLITE_OK {
		failed(s.path(), rc)
	}
	return rc
}

// syncFile syncs a database. A checkpoint does so when it has moved all of the log.
func syncFile(tls *libc.TLS, f uintptr, flags int32) int32 {
	s := state(f)
	rc := function[syncFunc](at[lib.Tsqlite3_io_methods](s.methods).FxSync)(tls, f, flags)
	if rc == lib.SQLITE_OK {
		moved(s.path())
	} else {
		failed(s.path(), rc)
	}
	return rc
}

// traits returns what the file guarantees: all but that parts of pages may be read, since a part has
// no checksum.
func traits(tls *libc.TLS, f uintptr) int32 {
	return function[traitFunc](at[lib.Tsqlite3_io_methods](state(f).methods).FxDeviceCharacteristics)(tls, f) &^ lib.SQLITE_IOCAP_SUBPAGE_READ
}

// fetch returns no page: SQLite then reads it, instead of mapping the file into memory.
func fetch(_ *libc.TLS, _ uintptr, _ int64, _ int32, page uintptr) int32 {
	*at[uintptr](page) = 0
	return lib.SQLITE_OK
}

// isPage reports whether bytes of a file are a page: SQLite reads and writes whole pages, besides
// parts of the first one.
func isPage(amount int32, offset int64) bool {
	return amount >= minPage && bits.OnesCount32(uint32(amount)) == 1 && offset%int64(amount) == 0
}

// Reserve makes the next VACUUM of a database write checksums. The handle is that of a connection
// that no statement uses meanwhile, a sqlite3 pointer.
func Reserve(handle uintptr) error {
	tls := libc.NewTLS()
	defer tls.Close()
	n := tls.Alloc(int(unsafe.Sizeof(int32(0))))
	defer tls.Free(int(unsafe.Sizeof(int32(0))))
	*at[int32](n) = damage.Size
	if rc := lib.Xsqlite3_file_control(tls, handle, 0, lib.SQLITE_FCNTL_RESERVE_BYTES, n); rc != lib.SQLITE_OK {
		return fmt.Errorf("reserve bytes of pages for checksums: code %d", rc)
	}
	return nil
}
