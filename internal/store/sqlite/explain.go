package sqlite

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

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
	var pages, frames []string
	for _, p := range pagesum.Damaged(dir) {
		if p.Log {
			frames = append(frames, nameFrame(p))
		} else {
			pages = append(pages, fmt.Sprintf("page %d of %s", p.Number, p.File))
		}
	}
	if len(frames) > 0 {
		return &damage.Error{Kind: damage.Database, Err: err, Text: fmt.Sprintf("%s in %s is damaged, and what was committed from there on cannot be read. Check the disk; %s",
			strings.Join(frames, ", "), dir, remedyLog(dir, frames))}
	}
	text := cmp.Or(strings.Join(pages, ", "), "a page of a database")
	return &damage.Error{Kind: damage.Database, Err: err,
		Text: fmt.Sprintf("%s in %s does not match its checksum: it is damaged, or another program has written it. Check the disk; load the data into a new "+
			"directory, or restore a backup; muster check --deep says which table is damaged. If another program has written to the database, such as "+
			"the shell of SQLite, stop the server and run: muster reindex --trust-pages --data %s", text, dir, oserror.Word(dir))}
}

// nameFrame names a frame of a log, or its header.
func nameFrame(p pagesum.Page) string {
	if p.Number == 0 {
		return "the header of " + p.File
	}
	return fmt.Sprintf("frame %d of %s", p.Number, p.File)
}

// remedyLog says what to do about damaged frames of logs.
func remedyLog(dir string, frames []string) string {
	const restore = "stop all programs that use the directory, and restore a backup or load the data into a new directory"
	if len(frames) > 1 || !strings.HasSuffix(frames[0], " "+jobsFile+"-wal") {
		return restore
	}
	return fmt.Sprintf("%s; or give up all exports and registered clients: stop the server, move %[2]s and %[2]s-wal away and run: muster adopt --data %[3]s", restore, jobsFile, oserror.Word(dir))
}

// lostLog is the error of a database whose log is missing or cut to nothing.
func lostLog(dir, database string) error {
	log := database + "-wal"
	return damage.New(damage.Database, "%s in %s has lost what was committed last: its log %s is missing or empty, and had commits that are not in the database. "+
		"Check the disk; put the log back, or %s. If another program has opened the database, such as the shell of SQLite, stop the server and run: muster reindex --trust-pages --data %s",
		database, dir, log, remedyLog(dir, []string{" " + log}), oserror.Word(dir))
}

// logFailure returns why this process could not move the log of a database into it when it last
// tried, or nil.
func logFailure(dir string) error {
	var errs []error
	for _, f := range pagesum.Failures(dir) {
		err := fmt.Errorf("the log of %s could not be moved into the database", f.File)
		if f.Damage() {
			err = damagedPage(dir, err)
		} else {
			err = fmt.Errorf("%w (code %d of SQLite), and grows; committed data are safe in it: check the disk of %s and its free space", err, f.Code, dir)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// explain is [explain] for the data directory of the store.
func (s *Store) explain(err error) error { return explain(s.dir, err) }
