package audit

import (
	"cmp"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// sweepInterval is how often rotated files that are too old are removed while no event is written.
const sweepInterval = time.Hour

// backupTime is the form of the time in the name of a rotated file, in UTC.
const backupTime = "2006-01-02T15-04-05.000"

// backup is a rotated file. It has two forms while it is compressed.
type backup struct {
	at    time.Time // when it was rotated, which is after its last event
	name  string    // of the plain form
	plain bool      // the plain form exists
}

// sweep removes what is too old, also if no event is written for a long time, and logs the head of
// the chain.
func (f *File) sweep() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ended {
		return
	}
	f.sweeper.Reset(sweepInterval)
	now := f.now()
	if f.isOld(now) {
		f.rotate(now)
		return
	}
	f.logHead("hourly")
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

// rotate begins a new file. If that fails, the log stays in the old one, so that no event is lost.
func (f *File) rotate(now time.Time) {
	if err := f.out.Rotate(); err != nil {
		if f.rotationLogged.IsZero() || now.Sub(f.rotationLogged) >= lossLogInterval {
			f.rotationLogged = now
			f.options.Logger.Error("audit log cannot be rotated: it grows further", "file", f.path, "error", err)
		}
		return
	}
	f.logHead("rotation")
	f.size, f.rotationLogged = 0, time.Time{}
	f.prune(now)
}

// prune removes the rotated files whose events are all older than the retention, and the oldest
// ones beyond the number to keep. It reports it if those are younger than the retention.
func (f *File) prune(now time.Time) {
	all, err := backupsOf(f.path)
	early := 0
	for n, b := range all {
		expired := f.options.Retention > 0 && now.Sub(b.at) >= f.options.Retention
		if surplus := len(all)-n > f.options.Backups; !expired && !surplus {
			break
		}
		err = errors.Join(err, f.out.Remove(b))
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

// backupsOf returns the rotated files of the log at path, in the order of the times in their names.
func backupsOf(path string) ([]backup, error) {
	folder, base := filepath.Split(path)
	extension := filepath.Ext(base)
	entries, err := os.ReadDir(filepath.Clean(folder + "."))
	if err != nil {
		return nil, err
	}
	byName := map[string]*backup{}
	for _, entry := range entries {
		name, compressed := strings.CutSuffix(entry.Name(), compressedExtension)
		rest, ours := strings.CutPrefix(name, strings.TrimSuffix(base, extension)+"-")
		if !ours || !strings.HasSuffix(rest, extension) || len(rest) < len(backupTime) {
			continue
		}
		at, err := time.Parse(backupTime, rest[:len(backupTime)])
		if err != nil {
			continue // a file of the operator, or of another server
		}
		if byName[name] == nil {
			byName[name] = &backup{at: at, name: name}
		}
		byName[name].plain = byName[name].plain || !compressed
	}
	var all []backup
	for _, b := range byName {
		all = append(all, *b)
	}
	slices.SortFunc(all, func(a, b backup) int { return cmp.Or(a.at.Compare(b.at), strings.Compare(a.name, b.name)) })
	return all, nil
}
