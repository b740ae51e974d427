package blob_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"

	"muster/internal/blob"
)

// A blob is visible only after its writer has committed.
func Example() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "blob")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	files, err := blob.NewFolder(filepath.Join(dir, "files"))
	if err != nil {
		log.Fatal(err)
	}
	defer files.Close()

	w, err := files.Create(ctx, "job/1-1.ndjson.gz")
	if err != nil {
		log.Fatal(err)
	}
	defer w.Abort() // does nothing after Commit
	if _, err := io.WriteString(w, "content"); err != nil {
		log.Fatal(err)
	}
	_, err = files.Open(ctx, "job/1-1.ndjson.gz")
	fmt.Println("visible before commit:", !errors.Is(err, blob.ErrNotFound))
	if err := w.Commit(); err != nil {
		log.Fatal(err)
	}
	r, err := files.Open(ctx, "job/1-1.ndjson.gz")
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()
	fmt.Println("bytes after commit:", r.Size())
	// Output:
	// visible before commit: false
	// bytes after commit: 7
}
