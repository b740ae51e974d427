package backup_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"muster/internal/backup"
	"muster/internal/blob"
	"muster/internal/fhir"
)

// source is a directory whose rounds are written down: what jobs name in each
// snapshot, and what happens before its files are copied.
type source struct {
	rounds []round
	opened int
	closed int
	write  func(dir string) error
	owner  string // of the copy
}

type round struct {
	names []string
	then  func()
}

func (s *source) Freeze(context.Context) (backup.Frozen, error) {
	r := s.rounds[min(s.opened, len(s.rounds)-1)]
	s.opened++
	return &frozen{s, r}, nil
}

type frozen struct {
	s *source
	round
}

func (f *frozen) Time() fhir.Instant  { return fhir.Instant(f.s.opened) }
func (f *frozen) Held() time.Duration { return time.Duration(f.s.opened) }
func (f *frozen) FilesOwner() string  { return f.s.owner }
func (f *frozen) Close() error        { f.s.closed++; return nil }

func (f *frozen) Objects(context.Context) ([]string, error) {
	if f.then != nil {
		f.then()
	}
	return f.names, nil
}

func (f *frozen) Write(_ context.Context, dir string, progress func(done, total int64)) error {
	progress(1, 1)
	if f.s.write != nil {
		return f.s.write(dir)
	}
	return os.WriteFile(filepath.Join(dir, "database"), []byte("rows"), 0o600)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// folder is a folder of blobs with the names as their bytes.
func folder(t *testing.T, dir string, names ...string) *blob.Folder {
	t.Helper()
	f, err := blob.NewFolder(dir)
	must(t, err)
	t.Cleanup(func() { _ = f.Close() })
	for _, name := range names {
		w, err := f.Create(t.Context(), name)
		must(t, err)
		_, err = w.Write([]byte(name))
		must(t, err)
		must(t, w.Commit())
	}
	return f
}

// tree lists the files of a folder, and holds their bytes against their names.
func tree(t *testing.T, dir string) (names []string) {
	t.Helper()
	must(t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		names = append(names, name)
		if blobName, ok := strings.CutPrefix(name, "files/"); ok {
			bytes, err := os.ReadFile(path)
			must(t, err)
			if string(bytes) != blobName {
				t.Errorf("%s holds %q", name, bytes)
			}
		}
		return err
	}))
	return names
}

func same(t *testing.T, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: %q, want %q", what, got, want)
	}
}

// A job that is cancelled between the snapshot and the copying of its files is
// not in the copy: the snapshot is taken anew.
func TestFilesThatGoMeanwhile(t *testing.T) {
	files := folder(t, filepath.Join(t.TempDir(), "files"), "a/1", "b/1", "b/2", "c/1")
	s := &source{rounds: []round{
		{[]string{"a/1", "b/1", "b/2"}, func() { must(t, files.Remove(t.Context(), "b/2")) }},
		{[]string{"a/1", "c/1"}, nil},
	}}
	out := filepath.Join(t.TempDir(), "deep", "copy")
	sum, err := backup.Run(t.Context(), backup.Config{Source: s, Files: files, Folder: "files", Out: out})
	must(t, err)
	same(t, "the copy", tree(t, out), []string{"database", "files/a/1", "files/c/1"})
	if sum.Time != 2 || sum.Files != 2 || len(sum.Lost) > 0 || sum.Held != 2 || s.closed != 2 {
		t.Errorf("summary %+v after %d snapshots, %d closed", sum, s.opened, s.closed)
	}
}

// The copy carries the mark that its database asks for, never that of the directory.
func TestMarkOfTheCopy(t *testing.T) {
	files := folder(t, filepath.Join(t.TempDir(), "files"), "a/1")
	must(t, files.TakeOver(t.Context(), "owner-of-the-directory"))
	for _, owner := range []string{"", "owner-of-the-copy"} {
		out := filepath.Join(t.TempDir(), "copy")
		s := &source{rounds: []round{{[]string{"a/1"}, nil}}, owner: owner}
		_, err := backup.Run(t.Context(), backup.Config{Source: s, Files: files, Folder: "files", Out: out})
		must(t, err)
		if got, err := blob.ExistingFolder(filepath.Join(out, "files")).Owner(t.Context()); err != nil || got != owner {
			t.Errorf("the copy belongs to %q, %v; want %q", got, err, owner)
		}
	}
	if got, err := files.Owner(t.Context()); err != nil || got != "owner-of-the-directory" {
		t.Errorf("the folder of the directory belongs to %q, %v", got, err)
	}
}

// What the directory itself has lost is told, and the rest is copied.
func TestLostFiles(t *testing.T) {
	files := folder(t, filepath.Join(t.TempDir(), "files"), "a/1")
	s := &source{rounds: []round{{[]string{"a/1", "a/2"}, nil}}}
	out := filepath.Join(t.TempDir(), "copy")
	must(t, os.Mkdir(out, 0o700)) // an empty folder may be there
	sum, err := backup.Run(t.Context(), backup.Config{Source: s, Files: files, Folder: "files", Out: out})
	must(t, err)
	same(t, "the copy", tree(t, out), []string{"database", "files/a/1"})
	same(t, "lost", sum.Lost, []string{"a/2"})
}

// A backup that cannot be finished leaves nothing, and nothing is overwritten.
func TestNothingHalf(t *testing.T) {
	files := folder(t, filepath.Join(t.TempDir(), "files"), "a/1")
	s := &source{rounds: []round{{[]string{"a/1"}, nil}}, write: func(string) error { return errors.New("the disk is full") }}
	parent := t.TempDir()
	out := filepath.Join(parent, "copy")
	if _, err := backup.Run(t.Context(), backup.Config{Source: s, Files: files, Folder: "files", Out: out}); err == nil || !strings.Contains(err.Error(), "the disk is full") {
		t.Errorf("error %v", err)
	}
	same(t, "after a failure", tree(t, parent), nil)
	must(t, os.MkdirAll(out, 0o700))
	must(t, os.WriteFile(filepath.Join(out, "precious"), nil, 0o600))
	s.write = nil
	if _, err := backup.Run(t.Context(), backup.Config{Source: s, Files: files, Folder: "files", Out: out}); err == nil || !strings.Contains(err.Error(), "it holds precious") {
		t.Errorf("error %v", err)
	}
	same(t, "a folder that is not empty", tree(t, parent), []string{"copy/precious"})
}
