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
	"muster/internal/store"
)

// source is a directory with scripted snapshots: the files that jobs name in each
// snapshot, and what happens before these files are copied.
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

func (s *source) Freeze(context.Context) (store.Frozen, error) {
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

// folder returns a folder of blobs whose contents are their names.
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

// tree lists the files of a folder and checks that blobs contain their names.
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

// TestFilesThatGoMeanwhile cancels a job between the snapshot and the copying of its files:
// Run takes a new snapshot, and the copy does not contain the job.
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

// TestMarkOfTheCopy checks that the folder of the copy has the mark of the copy, never
// that of the directory.
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

// TestLostFiles checks that lost files are listed and all others are copied.
func TestLostFiles(t *testing.T) {
	files := folder(t, filepath.Join(t.TempDir(), "files"), "a/1")
	s := &source{rounds: []round{{[]string{"a/1", "a/2"}, nil}}}
	out := filepath.Join(t.TempDir(), "copy")
	must(t, os.Mkdir(out, 0o700)) // an empty folder may exist
	sum, err := backup.Run(t.Context(), backup.Config{Source: s, Files: files, Folder: "files", Out: out})
	must(t, err)
	same(t, "the copy", tree(t, out), []string{"database", "files/a/1"})
	same(t, "lost", sum.Lost, []string{"a/2"})
}

// TestNothingHalf checks that a failed backup leaves nothing behind and that a backup
// overwrites nothing.
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
