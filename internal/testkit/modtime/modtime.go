// Package modtime gives tests a store of files whose times they can set.
package modtime

import (
	"context"
	"os"
	"path/filepath"
	"time"

	"muster/internal/blob"
)

// Store lists the files of a folder with their modification time, which a test can set, instead
// of their time of change.
type Store struct {
	blob.Store
	Dir string // of the folder
}

// List implements [blob.Store].
func (s Store) List(ctx context.Context, yield func(name string, modified time.Time) error) error {
	return s.Store.List(ctx, func(name string, _ time.Time) error {
		info, err := os.Stat(filepath.Join(s.Dir, filepath.FromSlash(name)))
		if err != nil {
			return err
		}
		return yield(name, info.ModTime())
	})
}
