package audit

import (
	"bufio"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"muster/internal/regularfile"
)

// sweepInterval is how often rotated files that are too old are removed while no event is written.
const sweepInterval = time.Hour

// backupTime is the form of the time in the name of a rotated file, in UTC.
const backupTime = "2006-01-02T15-04-05.000"

// backup is a rotated file. It has two names while it is compressed.
type backup struct {
	at    time.Time // when it was rotated, which is after its last event
	names []string
}

// sweep removes what is too old, also if no event is written for a long time.
func (f *File) sweep() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ended {
		return
	}
	f.sweeper.Reset(sweepInterval)
	now := f.now()
	if f.isOld(now) {
		if err := f.rotate(now); err != nil {
			f.options.Logger.Error("audit log cannot be rotated", "file", f.path, "error", err)
		}
		return
	}
	f.prune(now)
}

// isFull reports whether the file must be rotated before a line of n bytes is written.
func (f *File) isFull(n int) bool {
	return f.size > 0 && f.size+int64(n) > int64(f.options.MegaBytes)<<20
}

// isOld reports whether the file must be rotated because of its oldest event. A log that never
// fills up is rotated so often that its events are not kept much longer than the retention, and
// so rarely that the number of rotated files does not limit it.
func (f *File) isOld(now time.Time) bool {
	return f.options.Retention > 0 && f.size > 0 && now.Sub(f.began) >= f.options.Retention/time.Duration(f.options.Backups)
}

// rotate begins a new file.
func (f *File) rotate(now time.Time) error {
	if err := f.out.Rotate(); err != nil {
		return err
	}
	f.size, f.torn = 0, false
	f.prune(now)
	return nil
}

// prune removes the rotated files whose events are all older than the retention, and the oldest
// ones beyond the number to keep. It reports it if those are younger than the retention.
func (f *File) prune(now time.Time) {
	all, err := f.backups()
	early := 0
	for n, b := range all {
		expired := f.options.Retention > 0 && now.Sub(b.at) >= f.options.Retention
		if surplus := len(all)-n > f.options.Backups; !expired && !surplus {
			break
		}
		for _, name := range b.names {
			if removed := os.Remove(filepath.Join(filepath.Dir(f.path), name)); !errors.Is(removed, fs.ErrNotExist) {
				err = errors.Join(err, removed)
			}
		}
		if !expired && f.options.Retention > 0 {
			early++
		}
	}
	if err != nil {
		f.options.Logger.Error("rotated audit logs cannot be removed: check the permissions of their folder", "file", f.path, "error", err)
	}
	if early == 0 {
		return
	}
	if f.options.RemovedEarly != nil {
		f.options.RemovedEarly(early)
	}
	f.options.Logger.Warn("the size limit of the audit log has removed events that are younger than --audit-retention: raise --audit-size or --audit-backups, archive rotated logs in time, or lower --audit-retention",
		"file", f.path, "files_removed", early)
}

// backups returns the rotated files, oldest first.
func (f *File) backups() ([]backup, error) {
	folder, base := filepath.Split(f.path)
	extension := filepath.Ext(base)
	entries, err := os.ReadDir(filepath.Clean(folder + "."))
	if err != nil {
		return nil, err
	}
	byName := map[string]*backup{}
	for _, entry := range entries {
		name := strings.TrimSuffix(entry.Name(), ".gz")
		rest, ours := strings.CutPrefix(name, strings.TrimSuffix(base, extension)+"-")
		if !ours || !strings.HasSuffix(rest, extension) || len(rest) < len(backupTime) {
			continue
		}
		at, err := time.Parse(backupTime, rest[:len(backupTime)])
		if err != nil {
			continue // a file of the operator, or of another server
		}
		if byName[name] == nil {
			byName[name] = &backup{at: at}
		}
		byName[name].names = append(byName[name].names, entry.Name())
	}
	var all []backup
	for _, b := range byName {
		all = append(all, *b)
	}
	slices.SortFunc(all, func(a, b backup) int {
		if order := a.at.Compare(b.at); order != 0 {
			return order
		}
		return strings.Compare(a.names[0], b.names[0])
	})
	return all, nil
}

// openedAt reads the size of the file and the time of its first event, or now if there is none.
func openedAt(path string, now time.Time) (size int64, began time.Time, err error) {
	file, err := regularfile.Open(path)
	if err != nil {
		return 0, now, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return 0, now, err
	}
	line, _ := bufio.NewReaderSize(file, 256<<10).ReadSlice('\n')
	var first struct {
		Time time.Time `json:"time"`
	}
	if json.Unmarshal(line, &first) != nil || first.Time.IsZero() {
		return info.Size(), now, nil
	}
	return info.Size(), first.Time, nil
}
