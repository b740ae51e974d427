package sqlite

import (
	"errors"
	"fmt"

	"muster/internal/oserror"

	"modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"
)

// explain puts the way out before those errors of SQLite that an operator can do
// something about.
func explain(dir string, err error) error {
	var failure *sqlite.Error
	if !errors.As(err, &failure) {
		return oserror.Wrap(dir, err)
	}
	switch failure.Code() & 0xff {
	case lib.SQLITE_FULL:
		return &oserror.Error{Text: fmt.Sprintf("the disk of %s is full; what was committed is safe. Make room and run again", dir), Client: oserror.ClientDiskFull, Err: err}
	case lib.SQLITE_NOTADB, lib.SQLITE_CORRUPT:
		return fmt.Errorf("a database in %s is damaged or not a database. Load the data into a new directory, or restore a backup: %w", dir, err)
	case lib.SQLITE_READONLY, lib.SQLITE_CANTOPEN, lib.SQLITE_PERM:
		return &oserror.Error{Text: fmt.Sprintf("the databases in %s cannot be written. Check the owner and the rights of the directory", dir), Client: oserror.ClientDiskReadOnly, Err: err}
	case lib.SQLITE_IOERR:
		return &oserror.Error{Text: fmt.Sprintf("the disk of %s fails or is full. Check it, then run again", dir), Client: oserror.ClientDiskFailed, Err: err}
	case lib.SQLITE_BUSY:
		return fmt.Errorf("another program holds the database in %s, such as a database browser or a backup. Close it and run again: %w", dir, err)
	}
	return err
}
