package audit

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// openAged opens a log beside rotated files of given ages in days, at a fixed time.
func openAged(t *testing.T, o Options, days ...int) (f *File, log *bytes.Buffer, left func() []string) {
	t.Helper()
	log = &bytes.Buffer{}
	o.Logger = slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelWarn}))
	f, path := open(t, o)
	now := time.Date(2026, 3, 1, 9, 30, 0, 0, time.UTC)
	f.now = func() time.Time { return now }
	for _, n := range days {
		name := "audit-" + now.AddDate(0, 0, -n).Format(backupTime) + "-size.log.gz"
		if err := os.WriteFile(filepath.Join(filepath.Dir(path), name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return f, log, func() (ages []string) {
		all, err := backupsOf(f.path)
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range all {
			ages = append(ages, now.Sub(b.at).Truncate(24*time.Hour).String())
		}
		return ages
	}
}

const day = 24 * time.Hour

// TestRetentionByTime checks that rotated files go when all their events are older than the
// retention, without a warning, and that files of others stay.
func TestRetentionByTime(t *testing.T) {
	removed := 0
	f, log, left := openAged(t, Options{Backups: 10, Retention: 30 * day, RemovedEarly: func(n int) { removed += n }}, 40, 30, 29, 1)
	others := []string{"audit-copy.log", "audit-2020-01-01.log", "other-2020-01-01T00-00-00.000-size.log", "audit-2020-01-01T00-00-00.000-size.txt"}
	for _, name := range others {
		if err := os.WriteFile(filepath.Join(filepath.Dir(f.path), name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f.sweep()
	if got, want := left(), []string{(29 * day).String(), day.String()}; !slices.Equal(got, want) || removed != 0 || log.Len() > 0 {
		t.Errorf("files of the ages %q are left, want %q; %d were early, and the log is %s", got, want, removed, log)
	}
	for _, name := range others {
		if _, err := os.Stat(filepath.Join(filepath.Dir(f.path), name)); err != nil {
			t.Error(err)
		}
	}
}

// TestRetentionBySize checks that the oldest files go beyond the number to keep, and that this is
// reported if they are younger than the retention.
func TestRetentionBySize(t *testing.T) {
	for _, c := range []struct {
		retention time.Duration
		early     int
	}{{30 * day, 1}, {3 * day, 0}, {0, 0}} {
		removed := 0
		f, log, left := openAged(t, Options{Backups: 2, Retention: c.retention, RemovedEarly: func(n int) { removed += n }}, 5, 2, 1)
		f.sweep()
		if got, want := left(), []string{(2 * day).String(), day.String()}; !slices.Equal(got, want) {
			t.Errorf("retention %v: files of the ages %q are left, want %q", c.retention, got, want)
		}
		if warned := strings.Contains(log.String(), "younger than --audit-retention"); removed != c.early || warned != (c.early > 0) {
			t.Errorf("retention %v: %d files were early, want %d; the log is %s", c.retention, removed, c.early, log)
		}
	}
}

// TestQuietLogIsRotated checks that a log that never fills up is rotated by time, so that old
// events can be removed, and that its number of files does not limit it.
func TestQuietLogIsRotated(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	now := time.Date(2026, 3, 1, 9, 30, 0, 0, time.UTC)
	openAt := func() *File {
		f, err := openAt(path, Options{Backups: 3, Retention: 30 * day, Logger: slog.New(slog.DiscardHandler), RemovedEarly: func(int) { t.Error("a young file was removed") }}, func() time.Time { return now })
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	rotated := 0
	for range 12 { // each of them a restart of the server, two days later
		f := openAt()
		f.Record(Event{Time: now, Path: "/x"})
		all, err := backupsOf(f.path)
		if err != nil {
			t.Fatal(err)
		}
		rotated = len(all)
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		now = now.Add(2 * day)
	}
	if rotated != 2 { // after 10 and 20 of 22 days
		t.Errorf("the log was rotated %d times, want 2", rotated)
	}
	f := openAt()
	defer f.Close()
	now = now.Add(10 * day)
	f.sweep() // also without an event
	if all, err := backupsOf(f.path); err != nil || len(all) != 3 {
		t.Errorf("after a time without events: %d rotated files, %v", len(all), err)
	}
}
