package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"muster/internal/store"
)

// ownerFile stands in a folder for the files of a directory in PostgreSQL and says which
// directory that is. The janitor removes files that no row names: those of another
// directory, if two were served on one folder.
const ownerFile = "directory.id"

// claimFolder marks the folder as that of the directory, or refuses one that is marked as
// another's. Several servers of one directory share it.
func claimFolder(ctx context.Context, dir string, secrets store.Secrets) error {
	secret, err := secrets.Secret(ctx, "folder")
	if err != nil {
		return err
	}
	sum := sha256.Sum256(secret)
	id := hex.EncodeToString(sum[:16])
	if err := writeOnce(filepath.Join(dir, ownerFile), id); err != nil {
		return fmt.Errorf("mark the folder for the files: %w", err)
	}
	found, err := os.ReadFile(filepath.Join(dir, ownerFile))
	if err != nil {
		return fmt.Errorf("the folder for the files: %w", err)
	}
	if strings.TrimSpace(string(found)) != id {
		return fmt.Errorf("--data %s holds the files of the directory in another database: name another folder. If that directory is no more, remove %s from it", dir, ownerFile)
	}
	return nil
}

// writeOnce writes a file, whole, unless there is one.
func writeOnce(path, text string) error {
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".tmp")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString(text + "\n")
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Link(f.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}
