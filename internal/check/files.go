package check

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"muster/internal/blob"
	"muster/internal/fhir"
	"muster/internal/part"
	"muster/internal/store"

	"github.com/klauspost/compress/gzip"
)

// checkFiles compares the rows of parts with the files, and the files with the rows. It
// lists the files before it reads the jobs again, as the janitor does.
func (k *checker) checkFiles(ctx context.Context) error {
	if k.Blobs == nil {
		k.note("not-looked-at", "files", "the folder of the export files was not specified", "specify it with --data")
		return nil
	}
	foreign, err := k.checkFolder(ctx)
	if err != nil {
		return err
	}
	listed := map[string]time.Time{}
	err = k.Blobs.List(ctx, func(name string, modified time.Time) error {
		listed[name] = modified
		k.Files++
		return nil
	})
	if err != nil {
		return err
	}
	named := map[string]bool{}
	var parts []store.Part
	err = k.Store.EachJob(ctx, func(r store.JobRecord) error {
		k.jobs[r.Job.ID] = k.facts(&r.Job)
		for _, p := range r.Parts {
			named[p.Object] = true
			if p.Done && p.Object != "" {
				parts = append(parts, p)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for n := range parts {
		if err := k.checkPart(ctx, &parts[n]); err != nil {
			return err
		}
		k.Parts++
		k.advance(1)
	}
	if foreign {
		return nil // the other files do not belong to this directory, and no server removes them
	}
	return k.checkOwners(ctx, listed, named)
}

// checkFolder checks the owner of the folder and reports whether it is another directory. A
// directory without an id has not marked a folder yet.
func (k *checker) checkFolder(ctx context.Context) (foreign bool, err error) {
	if k.Folder.MarkedOwner == nil {
		return false, nil
	}
	marked, err := k.Folder.MarkedOwner(ctx)
	if err != nil {
		k.finding("folder", "files", "the owner of the folder cannot be read: "+err.Error(), "resolve this, because muster serve does not start before")
		return false, ctx.Err()
	}
	if marked == "" {
		return false, nil
	}
	owner, err := k.Folder.Owner(ctx)
	if err != nil {
		k.note("not-looked-at", "files", "the id of this directory, as the owner of the folder, cannot be read: "+err.Error(), "resolve this, because muster serve does not start before")
		return false, ctx.Err()
	}
	if marked == owner {
		return false, nil
	}
	k.finding("folder", "files", k.Folder.Path+" holds the export files of another directory, or of the directory that this one was copied from: muster serve does not start on it",
		"specify the right folder with --data; or, if all files in it that this directory does not know may be deleted, run: "+k.Folder.Adopt)
	return true, nil
}

// checkPart checks the file of a finished part.
func (k *checker) checkPart(ctx context.Context, p *store.Part) error {
	problem, err := k.fileProblem(ctx, p)
	if err != nil || problem == "" {
		return err
	}
	// The job may have been cancelled or have expired meanwhile.
	r, err := k.Store.JobRecord(ctx, p.JobID)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, q := range r.Parts {
		if q.Object == p.Object {
			k.finding("file", fmt.Sprintf("job %s part %d", p.JobID, p.Number), problem, remedyExport)
		}
	}
	return nil
}

// fileProblem returns what is wrong with the file of a part, or "".
func (k *checker) fileProblem(ctx context.Context, p *store.Part) (problem string, err error) {
	r, err := k.Blobs.Open(ctx, p.Object)
	if errors.Is(err, blob.ErrNotFound) {
		return fmt.Sprintf("its file %s is missing: its download fails", p.Object), nil
	}
	if err != nil {
		if ctx.Err() != nil {
			return "", err
		}
		return fmt.Sprintf("its file %s cannot be opened: %v", p.Object, err), nil
	}
	defer r.Close()
	if r.Size() != p.Stored.GzipBytes {
		return fmt.Sprintf("its file %s has %d bytes, but its row says %d", p.Object, r.Size(), p.Stored.GzipBytes), nil
	}
	identity, err := part.NewReader(r, part.Summary(p.Stored))
	if err != nil {
		return fmt.Sprintf("its fragment index does not match its file %s: %v", p.Object, err), nil
	}
	defer identity.Close()
	if !k.Deep {
		return "", nil
	}
	return contentProblem(ctx, p, r, identity)
}

// contentProblem reads a file in both ways in which it is served, by its fragments and as
// one gzip stream, and returns what is wrong with it, or "".
func contentProblem(ctx context.Context, p *store.Part, r blob.Reader, identity io.Reader) (problem string, err error) {
	stream, err := gzip.NewReader(io.NewSectionReader(r, 0, r.Size()))
	if err != nil {
		return fmt.Sprintf("its file %s is not a gzip stream: %v", p.Object, err), nil
	}
	for _, form := range []struct {
		name string
		r    io.Reader
	}{{"read by fragments", identity}, {"read as one gzip stream", stream}} {
		hash, lines := sha256.New(), lineCounter{}
		cancellable := readerFunc(func(p []byte) (int, error) {
			if err := ctx.Err(); err != nil {
				return 0, err
			}
			return form.r.Read(p)
		})
		n, err := io.Copy(io.MultiWriter(hash, &lines), cancellable)
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		if err != nil {
			return fmt.Sprintf("its file %s is damaged (%s): %v", p.Object, form.name, err), nil
		}
		if n != p.Stored.Bytes || lines.n != p.Stored.Count {
			return fmt.Sprintf("its file %s holds %d lines in %d bytes (%s), but its row says %d in %d", p.Object, lines.n, n, form.name, p.Stored.Count, p.Stored.Bytes), nil
		}
		if sum := hex.EncodeToString(hash.Sum(nil)); sum != p.Stored.SHA256 {
			return fmt.Sprintf("its file %s has the SHA-256 %s (%s), but its row says %s", p.Object, sum, form.name, p.Stored.SHA256), nil
		}
	}
	return "", nil
}

type lineCounter struct{ n int64 }

func (c *lineCounter) Write(p []byte) (int, error) {
	c.n += int64(bytes.Count(p, []byte{'\n'}))
	return len(p), nil
}

// readerFunc is a function as an io.Reader.
type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// checkOwners reports files that no row names and no live job is writing, and files that
// do not belong to exports.
func (k *checker) checkOwners(ctx context.Context, listed map[string]time.Time, named map[string]bool) error {
	var orphans, foreign []string
	for name, modified := range listed {
		id, ours := store.JobOf(name)
		job, known := k.jobs[id]
		since := max(fhir.InstantOf(modified), job.orphanedAt)
		switch {
		case named[name] || job.live:
		case !known && !ours:
			foreign = append(foreign, name)
		case since < k.orphanDeadline(known):
			orphans = append(orphans, name)
		}
	}
	if len(orphans)+len(foreign) == 0 {
		return nil
	}
	existing := map[string]bool{}
	if err := k.Blobs.List(ctx, func(name string, _ time.Time) error { existing[name] = true; return nil }); err != nil {
		return err
	}
	gone := func(name string) bool { return !existing[name] }
	if left := slices.DeleteFunc(orphans, gone); len(left) > 0 {
		k.leftover("orphan", "files", plural(int64(len(left)), "file", "files")+" without a job, such as "+slices.Min(left))
	}
	if left := slices.DeleteFunc(foreign, gone); len(left) > 0 {
		k.note("foreign", "files", plural(int64(len(left)), "file", "files")+" that muster did not write, such as "+slices.Min(left),
			"muster never removes such files: move them elsewhere if they are not wanted")
	}
	return nil
}

// orphanDeadline returns a time: a file that no job uses, and that was last changed before
// that time, is a problem, because the janitor should have removed it. known reports whether
// table job has a row for the job in the name of the file. While a server runs, its janitor
// keeps files of unknown jobs for another [store.OrphanGrace].
func (k *checker) orphanDeadline(known bool) fhir.Instant {
	if k.Served && !known {
		return k.graceStart() - fhir.Instant(store.OrphanGrace.Milliseconds())
	}
	return k.graceStart()
}
