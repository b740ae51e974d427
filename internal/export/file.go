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

// File is an output file that can be read. Close it.
type File struct {
	Part    store.Part
	Blob    blob.Reader  // the gzip form
	Expires fhir.Instant // when it goes (RE-09)
}

// Identity returns the NDJSON form of the file. Reading it costs what is read,
// wherever that stands in the file. Close it before the File.
func (f *File) Identity() (io.ReadSeekCloser, error) {
	return part.NewReader(f.Blob, f.Part.Stored.GzipBytes, f.Part.Stored.Bytes, f.Part.Stored.Index)
}

// Close closes the file.
func (f *File) Close() error { return f.Blob.Close() }

// ErrFileLost tells that a file of a Complete job is not on the disk as it was written:
// somebody has removed or changed it. Asking again does not help; exporting again does.
var ErrFileLost = errors.New("the file is lost")

// OpenFile opens an output file of a Complete job by the id of its Binary. A file
// that is unknown, of somebody else, deleted or over is [store.ErrNotFound]
// (RE-09, RE-10), one that is not on the disk any more [ErrFileLost]. An open file can be read to its end whatever happens to its job
// (RE-12).
func (s *Service) OpenFile(ctx context.Context, file string) (*File, error) {
	p, j, err := s.jobs.PartByFile(ctx, file)
	if err != nil {
		return nil, err
	}
	if j, err = s.owned(ctx, j.ID); err != nil {
		return nil, err
	}
	if j.State != store.Complete {
		return nil, store.ErrNotFound
	}
	reader, err := s.Blobs.Open(ctx, p.Object)
	if errors.Is(err, blob.ErrNotFound) {
		// Deleted a moment ago, or lost: only the first is the client's business.
		if _, _, again := s.jobs.PartByFile(ctx, file); again != nil {
			return nil, again
		}
		return nil, fmt.Errorf("file %s of job %s: %w: %w: put it back, or delete the job and export again", file, j.ID, ErrFileLost, err)
	}
	if err != nil {
		return nil, fmt.Errorf("opening file %s of job %s: %w", file, j.ID, err)
	}
	return &File{Part: p, Blob: reader, Expires: j.Expires}, nil
}
