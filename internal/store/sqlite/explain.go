package sqlite

import (
	"errors"
	"fmt"

	"muster/internal/damage"
	"muster/internal/oserror"
	"muster/internal/store/sqlite/pagesum"

	"modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"
)

// explain adds to an error of SQLite what an operator can do about it.
func explain(dir string, err error) error {
	var failure *sqlite.Error
	if !errors.As(err, &failure) {
		return oserror.Wrap(dir, err)
	}
	switch failure.Code() {
	case lib.SQLITE_IOERR_DATA:
		return damagedPage(dir, err)
	case lib.SQLITE_IOERR_CORRUPTFS:
		return damagedDatabase(dir, err)
	}
	switch failure.Code() & 0xff {
	case lib.SQLITE_CANTOPEN, lib.SQLITE_IOERR:
		// SQLite does not say why it cannot open a file.
		if full := oserror.OutOfFiles(); full != nil {
			return oserror.Wrap(dir, errors.Join(err, full))
		}
	}
	switch failure.Code() & 0xff {
	case lib.SQLITE_FULL:
		return &oserror.Error{Text: fmt.Sprintf("the disk of %s is full; committed data are safe. Free some space and run the command again", dir), Client: oserror.ClientDiskFull, Err: err}
	case lib.SQLITE_NOTADB, lib.SQLITE_CORRUPT:
		return damagedDatabase(dir, err)
	case lib.SQLITE_READONLY, lib.SQLITE_CANTOPEN, lib.SQLITE_PERM:
		return &oserror.Error{Text: fmt.Sprintf("the databases in %s cannot be written. Check the owner and the permissions of the directory", dir), Client: oserror.ClientDiskReadOnly, Err: err}
	case lib.SQLITE_IOERR:
		return &oserror.Error{Text: fmt.Sprintf("the disk of %s fails or is full. Check it, then run the command again", dir), Client: oserror.ClientDiskFailed, Err: err}
	case lib.SQLITE_BUSY:
		return fmt.Errorf("another program has locked the database in %s, such as a database browser or a backup. Close it and run the command again: %w", dir, err)
	}
	return err
}

func damagedDatabase(dir string, err error) error {
	return &damage.Error{Kind: damage.Database, Err: err,
		Text: fmt.Sprintf("a database in %s is damaged or not a database. Check the disk; load the data into a new directory, or restore a backup; muster check --deep says what is damaged", dir)}
}

// damagedPage names the pages that did not match their checksums. Another program that writes to a
// database does not write checksums.
func damagedPage(dir string, err error) error {
	text := "a page of a database"
	for n, p := range pagesum.Damaged(dir) {
		if n == 0 {
			text = ""
		} else {
			text += ", "
		}
		text += fmt.Sprintf("page %d of %s", p.Number, p.File)
	}
	return &damage.Error{Kind: damage.Database, Err: err,
		Text: fmt.Sprintf("%s in %s does not match its checksum: it is damaged, or another program has written it. Check the disk; load the data into a new "+
			"directory, or restore a backup; muster check --deep says which table is damaged. If another program has written to the database, such as "+
			"the shell of SQLite, stop the server and run: muster reindex --trust-pages --data %s", text, dir, oserror.Word(dir))}
}

// explain is [explain] for the data directory of the store.
func (s *Store) explain(err error) error { return explain(s.dir, err) }
