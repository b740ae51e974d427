package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"muster/internal/damage"
	"muster/internal/fhir"
	"muster/internal/search/index"
	"muster/internal/store"
	"muster/internal/store/sqlite/pagesum"
	"muster/internal/store/storetest"
)

// pageSums returns which files of a directory have page checksums, and fails the test if a page
// does not match its own.
func pageSums(t *testing.T, dir string) (names []string) {
	t.Helper()
	for _, name := range []string{directoryFile, jobsFile} {
		db, err := sql.Open("sqlite", readOnlySource(filepath.Join(dir, name)))
		if err != nil {
			t.Fatal(err)
		}
		var pages, bytes int // length reads them
		off, err := withoutPageSums(t.Context(), db)
		err = errors.Join(err, db.QueryRow(`SELECT count(*), sum(length(data)) FROM sqlite_dbpage`).Scan(&pages, &bytes), db.Close())
		if err != nil || pages == 0 {
			t.Error(name, pages, explain(dir, err))
		}
		if !off {
			names = append(names, name)
		}
	}
	return names
}

var bothFiles = []string{directoryFile, jobsFile}

// oldDirectory creates a directory whose pages have no checksums, as an older muster did.
func oldDirectory(t *testing.T) (dir string, s *Store) {
	t.Helper()
	dir = t.TempDir()
	for _, name := range bothFiles {
		path := filepath.Join(dir, name)
		execute(t, path, `PRAGMA user_version = 1`) // writes the header
		if err := os.Chmod(path, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s = openTest(t, dir, time.Now)
	apply(t, s, "old")
	return dir, s
}

// apply writes 80 resources whose ids begin with a text.
func apply(t *testing.T, s *Store, ids string) {
	t.Helper()
	changes := storetest.Changes(80)
	for n := range changes {
		changes[n].ID = fmt.Sprintf("%s-%d", ids, n)
	}
	if _, err := s.Apply(t.Context(), changes); err != nil {
		t.Fatal(err)
	}
}

// TestPageSums checks that the pages of both databases have checksums, and those of a backup of a
// directory whose log is not empty.
func TestPageSums(t *testing.T) {
	dir := t.TempDir()
	s := openTest(t, dir, time.Now)
	apply(t, s, "id")
	if gaps, err := s.Unprotected(t.Context()); err != nil || len(gaps) > 0 {
		t.Error(gaps, err)
	}
	if got := pageSums(t, copyOf(t, dir)); !slices.Equal(got, bothFiles) {
		t.Error("the copy has checksums in", got)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if got := pageSums(t, dir); !slices.Equal(got, bothFiles) {
		t.Error("the directory has checksums in", got)
	}
}

// TestInterruptedCreation creates directories over what an interrupted creation leaves. Where it
// fails, the error names the file, and the next attempt succeeds. The pages have checksums.
func TestInterruptedCreation(t *testing.T) {
	for _, name := range bothFiles {
		for left, c := range map[string]struct {
			path, content string
			folder        bool // in place of the new file
			refused       string
		}{
			"empty file":     {path: name},
			"page in part":   {path: name + newEnding, content: "SQLite for"},
			"no new file":    {path: name + newEnding, folder: true, refused: "create " + name},
			"log of another": {path: name + "-wal", content: "log", refused: name + " is missing or empty, but its log " + name + "-wal is not"},
		} {
			t.Run(name+" "+left, func(t *testing.T) {
				dir := t.TempDir()
				path := filepath.Join(dir, c.path)
				if c.folder {
					if err := os.MkdirAll(filepath.Join(path, "file"), 0o700); err != nil {
						t.Fatal(err)
					}
				} else {
					write(t, path, c.content)
				}
				if c.refused != "" {
					wantError(t, dir, store.Options{Create: &testInfo}, c.refused)
					if err := os.RemoveAll(path); err != nil {
						t.Fatal(err)
					}
				}
				if err := openTest(t, dir, time.Now).Close(); err != nil {
					t.Fatal(err)
				}
				if got := pageSums(t, dir); !slices.Equal(got, bothFiles) {
					t.Error("the directory has checksums in", got)
				}
				if _, err := os.Stat(filepath.Join(dir, name+newEnding)); err == nil {
					t.Error(name + newEnding + " is left")
				}
			})
		}
	}
}

// copyOf returns a backup of a directory.
func copyOf(t *testing.T, dir string) string {
	t.Helper()
	to := t.TempDir()
	freezeTo(t, dir, to)
	return to
}

// TestReindexAddsPageSums checks that a directory of an older muster stays readable, is reported,
// and gets checksums by a reindex while another process has it open and writes.
func TestReindexAddsPageSums(t *testing.T) {
	dir, s := oldDirectory(t)
	if gaps, err := s.Unprotected(t.Context()); err != nil || len(gaps) != 2 || !strings.Contains(gaps[0].What, directoryFile) {
		t.Error(gaps, err)
	}
	if got := pageSums(t, copyOf(t, dir)); len(got) > 0 {
		t.Error("the copy has checksums in", got)
	}
	if got := problems(t, dir, false); len(got) != 2 || !strings.Contains(got[0], "have no checksums") {
		t.Error(got)
	}
	other := openTest(t, dir, time.Now)
	apply(t, other, "other")
	how := store.Reindexing{Extract: func(dst []index.Entry, _ fhir.Type, _ []byte) ([]index.Entry, *store.Change, error) {
		return dst, nil, nil
	}}
	if err := other.Reindex(t.Context(), how); err != nil {
		t.Fatal(err)
	}
	if gaps, err := s.Unprotected(t.Context()); err != nil || len(gaps) > 0 {
		t.Error(gaps, err)
	}
	for n := range 3 { // the store refuses to write now, but its connections do not
		for _, statement := range []string{fmt.Sprintf(`INSERT INTO meta VALUES ('test %d', hex(zeroblob(50000)))`, n), `PRAGMA wal_checkpoint(TRUNCATE)`} {
			if _, err := s.writer.db.Exec(statement); err != nil {
				t.Fatal(statement, err)
			}
		}
	}
	if got := pageSums(t, dir); !slices.Equal(got, bothFiles) {
		t.Error("after a reindex the directory has checksums in", got)
	}
	if got := problems(t, dir, true); len(got) > 0 {
		t.Error(got)
	}
}

// TestOlderProgramRefusesPageSums opens a directory with the migrations of the last program that
// wrote pages without checksums. It is refused, also if the pages have none yet.
func TestOlderProgramRefusesPageSums(t *testing.T) {
	withSums := t.TempDir()
	openTest(t, withSums, time.Now)
	without, _ := oldDirectory(t)
	for _, dir := range []string{withSums, without} {
		for _, file := range []struct {
			name, folder string
			migrations   fs.FS
		}{{directoryFile, "migrations/directory", directoryMigrations}, {jobsFile, "migrations/jobs", jobMigrations}} {
			older := fstest.MapFS{}
			paths, err := fs.Glob(file.migrations, file.folder+"/*.sql")
			if err != nil {
				t.Fatal(err)
			}
			for _, path := range paths {
				if path < file.folder+"/00006_page_sums.sql" {
					text, err := fs.ReadFile(file.migrations, path)
					if err != nil {
						t.Fatal(err)
					}
					older[path] = &fstest.MapFile{Data: text}
				}
			}
			db, err := sql.Open("sqlite", dataSource(filepath.Join(dir, file.name), false))
			if err != nil {
				t.Fatal(err)
			}
			err = migrateFile(t.Context(), db, older, file.folder, func(context.Context) error { return nil })
			if err == nil || !strings.Contains(err.Error(), ", and this program supports versions up to 5") {
				t.Errorf("an older program opens %s: %v", file.name, err)
			}
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// problems returns what a check of a directory reports.
func problems(t *testing.T, dir string, deep bool) (found []string) {
	t.Helper()
	i, err := Inspect(t.Context(), dir, store.Identity{})
	if err != nil {
		t.Fatal(err)
	}
	defer i.Close()
	err = i.Integrity(t.Context(), deep, func(p store.IntegrityProblem) error {
		found = append(found, p.Place+": "+p.Problem)
		return nil
	})
	if err != nil {
		found = append(found, err.Error())
	}
	return found
}

// TestDamagedPage changes a page of an index that looks right to SQLite. A search fails with the
// number of the page, and a deep check names the table.
func TestDamagedPage(t *testing.T) {
	dir := t.TempDir()
	s := openTest(t, dir, time.Now)
	apply(t, s, "id")
	var page int
	if err := s.writer.db.QueryRow(`SELECT max(pageno) FROM dbstat WHERE name = 'resource_id' AND pagetype = 'leaf'`).Scan(&page); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, directoryFile)
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	at := regexp.MustCompile(`id-\d+`).FindIndex(file[(page-1)*4096+2048 : page*4096])
	if at == nil {
		t.Fatal("no id in page", page)
	}
	file[(page-1)*4096+2048+at[1]-1] ^= 1 // the last digit of an id
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	s = openTest(t, dir, time.Now)
	var n int
	err = s.explain(s.reads.QueryRow(`SELECT count(id) FROM resource INDEXED BY resource_id WHERE id > ''`).Scan(&n))
	kind, _ := damage.KindOf(err)
	if kind != damage.Database || !strings.Contains(err.Error(), fmt.Sprintf("page %d of directory.db in %s does not match its checksum", page, dir)) {
		t.Error(err)
	}
	if got := strings.Join(problems(t, dir, true), "\n"); !strings.Contains(got, fmt.Sprintf("directory.db: *** in database main ***\npage %d of index resource_id does not match its checksum", page)) {
		t.Error(got)
	}
	if !strings.Contains(err.Error(), "muster reindex --trust-pages --data "+dir) {
		t.Error(err)
	}
	if got := pagesum.Damaged(dir); len(got) != 1 {
		t.Error(got)
	}
}

// TestTrustedPages writes to a database as another program does. A reindex that trusts its pages
// writes checksums, unless the pages are not consistent.
func TestTrustedPages(t *testing.T) {
	defer pagesum.Verify(true)
	for _, c := range []struct {
		statements []string
		trusted    string // error of the reindex
	}{
		{[]string{`INSERT INTO meta VALUES ('test', hex(zeroblob(50000)))`, `UPDATE resource SET last_updated = last_updated`}, ""},
		{[]string{`PRAGMA writable_schema = 1`, `UPDATE sqlite_schema SET sql = replace(sql, 'last_updated', 'id') WHERE name = 'resource_updated'`}, "cannot be trusted"},
	} {
		dir := t.TempDir()
		s := openTest(t, dir, time.Now)
		apply(t, s, "id")
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		db, err := sql.Open("sqlite", fileURL(filepath.Join(dir, directoryFile), url.Values{"vfs": {pagesum.Original()}}))
		if err != nil {
			t.Fatal(err)
		}
		db.SetMaxOpenConns(1)
		for _, statement := range c.statements {
			if _, err := db.Exec(statement); err != nil {
				t.Fatal(statement, err)
			}
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(t.Context(), dir, store.Options{}); err == nil || !strings.Contains(err.Error(), "--trust-pages") {
			t.Error("without trust:", err)
		}
		s, err = Open(t.Context(), dir, store.Options{TrustPages: true})
		if err != nil {
			t.Fatal(err)
		}
		err = s.Reindex(t.Context(), store.Reindexing{Extract: func(dst []index.Entry, _ fhir.Type, _ []byte) ([]index.Entry, *store.Change, error) {
			return dst, nil, nil
		}})
		if c.trusted != "" {
			if err == nil || !strings.Contains(err.Error(), c.trusted) {
				t.Error("damaged:", err)
			}
			_ = s.Close()
			continue
		}
		if err := errors.Join(err, s.Close()); err != nil {
			t.Fatal(err)
		}
		pagesum.Verify(true)
		if got := pageSums(t, dir); !slices.Equal(got, bothFiles) {
			t.Error("the directory has checksums in", got)
		}
	}
}
