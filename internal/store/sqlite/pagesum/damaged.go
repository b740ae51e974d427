package pagesum

import (
	"path/filepath"
	"slices"
	"strings"
	"sync"

	lib "modernc.org/sqlite/lib"
)

// Page is a damaged page of a database, or frame of its log.
type Page struct {
	File   string // name of the file: of a database, or of its log
	Number uint32 // from 1, of the page in the database or of the frame in the log; 0 is the header of a log
	Log    bool   // the file is a log
}

// Failure is why the log of a database could not be moved into it.
type Failure struct {
	File string // name of the database
	Code int32  // result code of SQLite; SQLITE_IOERR_DATA for a damaged page of the log
}

// What was found in this process, by the path of the file.
var (
	lock     sync.Mutex
	damaged  = map[string]Page{}    // the last page
	failures = map[string]Failure{} // of databases
)

func pageOf(path string, number uint32) Page {
	return Page{File: filepath.Base(path), Number: number, Log: strings.HasSuffix(path, logEnding)}
}

func found(path string, number uint32) {
	lock.Lock()
	defer lock.Unlock()
	damaged[path] = pageOf(path, number)
}

// failed records that the log of a database could not be moved into it.
func failed(database string, code int32) {
	lock.Lock()
	defer lock.Unlock()
	failures[database] = Failure{File: filepath.Base(database), Code: code}
}

// moved records that all of the log is in the database.
func moved(database string) {
	lock.Lock()
	defer lock.Unlock()
	delete(failures, database)
}

// Damaged returns the damaged page that was found last in each file of a folder.
func Damaged(dir string) []Page {
	return in(dir, damaged, func(a, b Page) int { return strings.Compare(a.File, b.File) })
}

// Failures returns the databases of a folder into which this process could not move the log when it
// last tried. SQLite does not report such a failure: it tries again after the next commit.
func Failures(dir string) []Failure {
	return in(dir, failures, func(a, b Failure) int { return strings.Compare(a.File, b.File) })
}

// in returns what was found in the files of a folder.
func in[T any](dir string, all map[string]T, compare func(a, b T) int) (some []T) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil
	}
	if real, err := filepath.EvalSymlinks(dir); err == nil { // as in the paths of SQLite
		dir = real
	}
	lock.Lock()
	defer lock.Unlock()
	for path, one := range all {
		if filepath.Dir(filepath.Clean(path)) == strings.TrimSuffix(dir, string(filepath.Separator)) {
			some = append(some, one)
		}
	}
	slices.SortFunc(some, compare)
	return some
}

// Damage reports whether the log could not be moved because a page of it is damaged.
func (f Failure) Damage() bool { return f.Code == lib.SQLITE_IOERR_DATA }
