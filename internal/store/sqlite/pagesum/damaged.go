package pagesum

import (
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// Page is a damaged page of a database.
type Page struct {
	File   string // name of the file: of a database, or of its log
	Number uint32 // in the database, from 1
}

// damaged has the last damaged page of each file, by its path.
var damaged = struct {
	sync.Mutex
	pages map[string]Page
}{pages: map[string]Page{}}

func found(path string, number uint32) {
	damaged.Lock()
	defer damaged.Unlock()
	damaged.pages[path] = Page{File: filepath.Base(path), Number: number}
}

// Damaged returns the damaged page that was found last in each file of a folder.
func Damaged(dir string) (pages []Page) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil
	}
	if real, err := filepath.EvalSymlinks(dir); err == nil { // as in the paths of SQLite
		dir = real
	}
	damaged.Lock()
	defer damaged.Unlock()
	for path, page := range damaged.pages {
		if filepath.Dir(filepath.Clean(path)) == strings.TrimSuffix(dir, string(filepath.Separator)) {
			pages = append(pages, page)
		}
	}
	slices.SortFunc(pages, func(a, b Page) int { return strings.Compare(a.File, b.File) })
	return pages
}
