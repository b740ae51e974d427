package audit

import (
	"bufio"
	"bytes"
	"cmp"
	"compress/flate"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"muster/internal/regularfile"
)

// maxLine is the maximum length of a line that is read, in bytes. The events of muster are shorter.
const maxLine = 64 << 20

// logFile is a file of the log that is open for reading. The server may rotate, compress and remove
// it meanwhile.
type logFile struct {
	path  string
	file  *os.File
	first []byte // its first bytes
}

// line is a line of a log file.
type line struct {
	number   int64 // from 1
	text     []byte
	complete bool // it ends with a newline, which text has too
}

// logFiles are files of a log, oldest first.
type logFiles []*logFile

func (all logFiles) close() {
	for _, f := range all {
		_ = f.file.Close()
	}
}

// openTries is how often the files of a log are opened that is rotated meanwhile.
const openTries = 10

// errRotated means that the files of a log were rotated, compressed or removed while they were opened.
var errRotated = errors.New("the audit log is rotated: try again")

// openLog opens the files of the log at path: the rotated ones, and last the file itself.
func openLog(path string) (logFiles, error) { return untilUnchanged(path, tryOpenLog) }

// openBackups opens the rotated files of a log in the order of their chain.
func openBackups(path string) (logFiles, error) { return untilUnchanged(path, tryOpenBackups) }

func untilUnchanged(path string, open func(string) (logFiles, error)) (logFiles, error) {
	for try := 1; ; try++ {
		all, err := open(path)
		if err == nil {
			return all, nil
		}
		all.close()
		if again := errors.Is(err, errRotated) || errors.Is(err, os.ErrNotExist); !again || try == openTries {
			return nil, err
		}
		time.Sleep(10 * time.Millisecond) // the time of a rotation
	}
}

func tryOpenLog(path string) (logFiles, error) {
	newest, err := openLogFile(path)
	if err != nil {
		return nil, err
	}
	all, err := tryOpenBackups(path)
	for _, f := range all {
		common := min(len(f.first), len(newest.first))
		if common > 0 && bytes.Equal(f.first[:common], newest.first[:common]) {
			err = errRotated // since it was opened
		}
	}
	return append(all, newest), err
}

// tryOpenBackups opens the rotated files. The times in their names have another order than their
// chain if the clock was set back.
func tryOpenBackups(path string) (all logFiles, err error) {
	backups, err := backupsOf(path)
	if err != nil {
		return nil, err
	}
	for _, b := range backups {
		plain := filepath.Join(filepath.Dir(path), b.name)
		f, err := openLogFile(plain)
		if errors.Is(err, os.ErrNotExist) {
			f, err = openLogFile(plain + compressedExtension)
		}
		if errors.Is(err, os.ErrNotExist) {
			return all, errRotated // removed since it was listed
		}
		if err != nil {
			return all, err
		}
		all = append(all, f)
	}
	if again, err := backupsOf(path); err != nil || !slices.EqualFunc(backups, again, func(a, b backup) bool { return a.name == b.name }) {
		return all, cmp.Or(err, errRotated)
	}
	slices.SortStableFunc(all, func(a, b *logFile) int { return cmp.Compare(a.firstNumber(), b.firstNumber()) })
	return all, nil
}

// firstNumber returns the number of the first event, or 0 for a file of an older version.
func (f *logFile) firstNumber() int64 {
	l, _ := parseLink(f.first)
	return l.n
}

func openLogFile(path string) (*logFile, error) {
	file, err := regularfile.Open(path)
	if err != nil {
		return nil, err
	}
	f := &logFile{path: path, file: file}
	from, err := f.reader()
	if err != nil {
		return f, nil // each reports the error, with its place
	}
	first := make([]byte, 4<<10)
	n, _ := io.ReadFull(from, first)
	f.first = first[:n]
	return f, nil
}

// reader returns a reader from the beginning of the file, decompressed.
func (f *logFile) reader() (io.Reader, error) {
	if _, err := f.file.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	if !strings.HasSuffix(f.path, compressedExtension) {
		return f.file, nil
	}
	return gzip.NewReader(bufio.NewReader(f.file))
}

// each calls yield for each line. The text is valid until yield returns. Damage is a [*BreakError].
func (f *logFile) each(yield func(line) error) error {
	l := line{number: 1}
	from, err := f.reader()
	if err != nil {
		return f.readError(l, err)
	}
	lines := bufio.NewReaderSize(from, 64<<10)
	var long []byte // of a line that is longer than the buffer of lines
	for {
		text, err := lines.ReadSlice('\n')
		if len(long) > 0 || errors.Is(err, bufio.ErrBufferFull) {
			long = append(long, text...)
			text = long
		}
		switch {
		case len(text) > maxLine:
			return &BreakError{f.path, l.number, fmt.Sprintf("the line has more than %d bytes", maxLine)}
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err != nil && !errors.Is(err, io.EOF):
			return f.readError(l, err)
		case len(text) == 0:
			return nil
		}
		l.text, l.complete = text, err == nil
		if err := yield(l); err != nil || !l.complete {
			return err
		}
		l.number, long = l.number+1, long[:0]
	}
}

// readError returns the error for a line that cannot be read.
func (f *logFile) readError(l line, err error) error {
	var corrupt flate.CorruptInputError
	if errors.Is(err, gzip.ErrHeader) || errors.Is(err, gzip.ErrChecksum) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) || errors.As(err, &corrupt) {
		return &BreakError{f.path, l.number, fmt.Sprintf("the compressed file is damaged (%v)", err)}
	}
	return fmt.Errorf("read line %d of the audit log: %w", l.number, err)
}

// BreakError is the place at which a log is not what muster has written.
type BreakError struct {
	File   string
	Line   int64 // from 1, decompressed
	Reason string
}

// Error implements error.
func (e *BreakError) Error() string { return fmt.Sprintf("%s, line %d: %s", e.File, e.Line, e.Reason) }
