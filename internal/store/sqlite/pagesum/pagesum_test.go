package pagesum

import (
	"bytes"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"
)

// openTest opens a database and executes statements.
func openTest(t *testing.T, path, options string, statements ...string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path+"?"+options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	db.SetMaxOpenConns(1)
	execute(t, db, statements...)
	return db
}

func execute(t *testing.T, db *sql.DB, statements ...string) {
	t.Helper()
	for _, s := range statements {
		if _, err := db.ExecContext(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

// fill returns a statement that inserts rows, some of which need overflow pages.
func fill(from, to int) string {
	return fmt.Sprintf(`WITH RECURSIVE n(i) AS (SELECT %d UNION ALL SELECT i + 1 FROM n WHERE i < %d)
		INSERT INTO t SELECT i, hex(zeroblob(i %% 50)) || i || iif(i %% 100 = 0, hex(zeroblob(5000)), '') FROM n`, from, to)
}

const createTable = `CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT)`
const createIndex = `CREATE INDEX i ON t (b)`

// newFile creates a database with checksums.
func newFile(t *testing.T, options string) (path string, db *sql.DB) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "a.db")
	if err := os.WriteFile(path, EmptyPage(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path, openTest(t, path, options, createTable, createIndex, fill(1, 2000))
}

// closedFile creates a database with checksums, closes it and returns its bytes.
func closedFile(t *testing.T) (path string, whole []byte) {
	t.Helper()
	path, db := newFile(t, "")
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return path, whole
}

// wrongPages returns the pages of a database that do not match their checksums.
func wrongPages(t *testing.T, path string) (wrong []int) {
	t.Helper()
	all, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 20*pageSize || !hasSums(all) {
		t.Fatalf("%d bytes, checksums: %v", len(all), hasSums(all))
	}
	for n := 0; n < len(all)/pageSize; n++ {
		if !right(uint32(n+1), all[n*pageSize:(n+1)*pageSize]) {
			wrong = append(wrong, n+1)
		}
	}
	return wrong
}

// readAll reads the table and the index.
func readAll(db *sql.DB) error {
	var n int
	return errors.Join(db.QueryRow(`SELECT sum(length(b)) FROM t NOT INDEXED`).Scan(&n), db.QueryRow(`SELECT sum(length(b)) FROM t INDEXED BY i WHERE b > ''`).Scan(&n))
}

func damaged8202(err error) bool {
	var failure *sqlite.Error
	return errors.As(err, &failure) && failure.Code() == lib.SQLITE_IOERR_DATA
}

// TestWrittenPages checks that each page of a database has its checksum, in each journal mode,
// after it grew, shrank and was rewritten.
func TestWrittenPages(t *testing.T) {
	for _, options := range []string{"_pragma=journal_mode(WAL)", "_pragma=journal_mode(DELETE)", "_pragma=journal_mode(OFF)", "_pragma=cache_size(10)", "_pragma=mmap_size(100000000)"} {
		path, db := newFile(t, options)
		execute(t, db, `DELETE FROM t WHERE a % 3 = 0`, `VACUUM`, fill(10_000, 11_000), `CREATE TABLE other (a)`, `DROP TABLE other`)
		if err := readAll(db); err != nil {
			t.Error(options, err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		if wrong := wrongPages(t, path); len(wrong) > 0 {
			t.Errorf("%s: wrong pages: %v", options, wrong)
		}
		var check string
		if err := openTest(t, path, "").QueryRow(`PRAGMA integrity_check`).Scan(&check); err != nil || check != "ok" {
			t.Error(options, check, err)
		}
	}
}

// TestDamagedPages damages each page of a database in several ways. Each read of a damaged page
// fails, and the error can be traced to the page.
func TestDamagedPages(t *testing.T) {
	path, whole := closedFile(t)
	pages := len(whole) / pageSize
	for n := 1; n < pages; n += 13 {
		for how, damage := range map[string]func(page, other []byte){
			"a bit":          func(page, _ []byte) { page[n*31%pageSize] ^= 1 << (n % 8) },
			"another page":   func(page, other []byte) { copy(page, other) },
			"half a page":    func(page, _ []byte) { clear(page[pageSize/2:]) },
			"a zeroed start": func(page, _ []byte) { clear(page[:pageSize/2]) },
		} {
			file := bytes.Clone(whole)
			damage(file[n*pageSize:(n+1)*pageSize], file[(n%(pages-1)+1)*pageSize:])
			if bytes.Equal(file, whole) {
				continue // of its zeros
			}
			if err := os.WriteFile(path, file, 0o600); err != nil {
				t.Fatal(err)
			}
			db := openTest(t, path, fmt.Sprintf("_pragma=mmap_size(%d)", n%2*100_000_000))
			if err := readAll(db); !damaged8202(err) {
				t.Errorf("page %d, %s: %v", n+1, how, err)
			}
			if got := Damaged(filepath.Dir(path)); len(got) != 1 || got[0] != (Page{File: "a.db", Number: uint32(n + 1)}) {
				t.Errorf("page %d, %s: found %v", n+1, how, got)
			}
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestCutPage cuts the last page of a file, which SQLite completes with zeros.
func TestCutPage(t *testing.T) {
	path, db := newFile(t, "")
	execute(t, db, `DROP INDEX i`, `VACUUM`, createIndex)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err == nil {
		err = os.Truncate(path, info.Size()-3000)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := readAll(openTest(t, path, "")); !damaged8202(err) {
		t.Error(err)
	}
}

// TestDamagedHeader damages the part of the first page that says that pages have checksums.
func TestDamagedHeader(t *testing.T) {
	path, whole := closedFile(t)
	for bit := range 8 {
		file := bytes.Clone(whole)
		file[reservedAt] ^= 1 << bit
		if err := os.WriteFile(path, file, 0o600); err != nil {
			t.Fatal(err)
		}
		db := openTest(t, path, "")
		if err := readAll(db); !damaged8202(err) {
			t.Errorf("bit %d: %v", bit, err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestForeignWriter checks that a page that another program wrote is found.
func TestForeignWriter(t *testing.T) {
	path, db := newFile(t, "")
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	plain := "vfs=" + Original()
	if err := readAll(openTest(t, path, plain)); err != nil {
		t.Error("another program reads the file:", err)
	}
	if err := openTest(t, path, plain, `UPDATE t SET b = 'x' WHERE a = 1000`).Close(); err != nil {
		t.Fatal(err)
	}
	if err := readAll(openTest(t, path, "")); !damaged8202(err) {
		t.Error(err)
	}
}

// TestForeignReader reads a database that a crash has left with a log, as another program does. If
// it opens the file read-only, it writes no pages.
func TestForeignReader(t *testing.T) {
	path, db := newFile(t, "_pragma=journal_mode(WAL)&_pragma=wal_autocheckpoint(0)")
	execute(t, db, `PRAGMA wal_checkpoint(TRUNCATE)`, `UPDATE t SET b = b || 'x'`)
	for mode, right := range map[string]bool{"ro": true, "rw": false} {
		left := filepath.Join(t.TempDir(), "a.db")
		for _, ending := range []string{"", "-wal"} {
			file, err := os.ReadFile(path + ending)
			if err == nil {
				err = os.WriteFile(left+ending, file, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		reader := openTest(t, left, "mode="+mode+"&vfs="+Original())
		if err := errors.Join(readAll(reader), reader.Close()); err != nil {
			t.Fatal(err)
		}
		if err := readAll(openTest(t, left, "")); right != (err == nil) || !right && !damaged8202(err) {
			t.Errorf("after mode=%s: %v", mode, err)
		}
	}
}

// TestFileWithoutSums checks that a file that was created without reserved bytes stays as it is,
// and that VACUUM adds checksums once they are asked for, while another connection has it open.
func TestFileWithoutSums(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	db := openTest(t, path, "_pragma=journal_mode(WAL)&_pragma=wal_autocheckpoint(0)", createTable, createIndex, fill(1, 2000))
	other := openTest(t, path, "")
	if err := readAll(other); err != nil {
		t.Fatal(err)
	}
	execute(t, db, `PRAGMA wal_checkpoint(TRUNCATE)`)
	before, err := os.ReadFile(path)
	if err != nil || hasSums(before) {
		t.Fatal("has checksums", err)
	}
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	err = conn.Raw(func(c any) error { return Reserve(uintptr(reflect.ValueOf(c).Elem().FieldByName("db").Uint())) })
	if err := errors.Join(err, conn.Close()); err != nil {
		t.Fatal(err)
	}
	// The other connection reads the first page from the log and keeps it, so that it does not see
	// it in the file, before it writes others.
	execute(t, db, `VACUUM`)
	if err := readAll(other); err != nil {
		t.Fatal(err)
	}
	execute(t, db, `PRAGMA wal_checkpoint(PASSIVE)`)
	execute(t, other, `UPDATE t SET b = '1001' WHERE a = 1001`, `PRAGMA wal_checkpoint(TRUNCATE)`)
	if wrong := wrongPages(t, path); len(wrong) > 0 {
		t.Errorf("wrong pages: %v", wrong)
	}
	execute(t, other, fill(5000, 5100), `DELETE FROM t WHERE a < 10`, `PRAGMA wal_checkpoint(TRUNCATE)`)
	if err := errors.Join(readAll(db), readAll(other)); err != nil {
		t.Error(err)
	}
	if wrong := wrongPages(t, path); len(wrong) > 0 {
		t.Errorf("wrong pages: %v", wrong)
	}
}

// TestLog checks the frames of the log: a damaged one is found by a reader and by a checkpoint,
// which does not write it to the database. A transaction that spills its pages into the log, and
// changes them there, is read and committed.
func TestLog(t *testing.T) {
	path, db := newFile(t, "_pragma=journal_mode(WAL)&_pragma=wal_autocheckpoint(0)&_pragma=cache_size(10)")
	execute(t, db, `PRAGMA wal_checkpoint(TRUNCATE)`, `BEGIN`, fill(10_000, 13_000), `UPDATE t SET b = b || 'x'`, `DELETE FROM t WHERE a % 5 = 0`)
	if err := readAll(db); err != nil {
		t.Error("in a transaction:", err)
	}
	execute(t, db, `ROLLBACK`, `BEGIN`, fill(10_000, 12_000), `UPDATE t SET b = b || 'x' WHERE a > 10000`)
	if err := readAll(db); err != nil {
		t.Error("in another transaction:", err)
	}
	execute(t, db, `COMMIT`)
	reader := openTest(t, path, "")
	if err := errors.Join(readAll(db), readAll(reader)); err != nil {
		t.Error("after the commit:", err)
	}
	testDamagedBehindLog(t, path)
	log, err := os.ReadFile(path + "-wal")
	if err != nil {
		t.Fatal(err)
	}
	if err := reader.Close(); err != nil {
		t.Fatal(err)
	}
	frames := (len(log) - logHeaderSize) / (frameHeaderSize + pageSize)
	damaged := bytes.Clone(log)
	for n := frames - 300; n < frames; n++ { // most of them are the last ones of their pages
		damaged[logHeaderSize+n*(frameHeaderSize+pageSize)+frameHeaderSize+200] ^= 1
	}
	overwrite(t, path+"-wal", damaged)
	if err := readAll(openTest(t, path, "")); !damaged8202(err) {
		t.Error("a reader:", err)
	}
	if got := fmt.Sprint(Damaged(filepath.Dir(path))); !strings.Contains(got, "{a.db-wal ") {
		t.Error("found", got)
	}
	if _, err := db.Exec(`PRAGMA wal_checkpoint(TRUNCATE)`); !damaged8202(err) {
		t.Error("a checkpoint:", err)
	}
	overwrite(t, path+"-wal", log)
	execute(t, db, `PRAGMA wal_checkpoint(TRUNCATE)`)
	if err := readAll(db); err != nil {
		t.Error("after the checkpoint:", err)
	}
}

// testDamagedBehindLog damages a page of a database whose first page is in the log, so that a
// connection does not read it in the file.
func testDamagedBehindLog(t *testing.T, path string) {
	t.Helper()
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	damaged := bytes.Clone(whole)
	for n := 1; n < len(whole)/pageSize; n++ {
		damaged[n*pageSize+100] ^= 1
	}
	overwrite(t, path, damaged)
	if err := readAll(openTest(t, path, "")); !damaged8202(err) {
		t.Error("behind the log:", err)
	}
	overwrite(t, path, whole)
}

// overwrite writes to an open file.
func overwrite(t *testing.T, path string, data []byte) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err == nil {
		_, err = f.Write(data)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
}
