package export

import (
	"context"
	"errors"
	"fmt"
	"io"

	"muster/internal/blob"
	"muster/internal/fhir"
	"muster/internal/part"
	"muster/internal/store"
)

// File is an open output file.
type File struct {
	Part    store.Part
	Blob    blob.Reader  // the gzip form
	Expires fhir.Instant // end of its retention (RE-09)
}

// Identity returns the NDJSON form of the file. The cost of a read depends on its length,
// not on its position. Close the reader before the File. A damaged file is a [damage.Error], here
// or at the read that reaches the damage.
func (f *File) Identity() (io.ReadSeekCloser, error) {
	return part.NewReader(f.Blob, part.Summary(f.Part.Stored))
}

// Stream returns the gzip form of the file, as [File.Identity] returns the other one.
func (f *File) Stream() (io.ReadSeeker, error) {
	return part.NewStreamReader(f.Blob, part.Summary(f.Part.Stored))
}

// Close closes the file.
func (f *File) Close() error { return f.Blob.Close() }

// ErrFileLost means that a file of a Complete job was removed or changed on the disk.
// Retrying does not help; exporting again does.
var ErrFileLost = errors.New("the file is lost")

// OpenFile opens an output file of a Complete job by the id of its Binary. A file that is
// unknown, belongs to another client, was deleted or has expired is [store.ErrNotFound]
// (RE-09, RE-10). A file that is missing on the disk is [ErrFileLost]. An open file can
// be read to its end even if its job is deleted (RE-12).
func (s *Service) OpenFile(ctx context.Context, file string) (*File, error) {
	p, j, err := s.jobs.PartByFile(ctx, file)
	if err != nil {
		return nil, err
	}
	if j, err = s.ownedJob(ctx, j.ID); err != nil {
		return nil, err
	}
	if j.State != store.Complete {
		return nil, store.ErrNotFound
	}
	if err := s.checkSuppressed(ctx, j); err != nil {
		return nil, err
	}
	reader, err := s.Blobs.Open(ctx, p.Object)
	if errors.Is(err, blob.ErrNotFound) {
		// The job was deleted since the lookup, or the file is lost.
		if _, _, again := s.jobs.PartByFile(ctx, file); again != nil {
			return nil, again
		}
		return nil, fmt.Errorf("file %s of job %s: %w: %w: restore it, or delete the job and export again", file, j.ID, ErrFileLost, err)
	}
	if err != nil {
		return nil, fmt.Errorf("open file %s of job %s: %w", file, j.ID, err)
	}
	return &File{Part: p, Blob: reader, Expires: j.Expires}, nil
}
