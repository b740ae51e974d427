package export

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"muster/internal/failpoint"
	"muster/internal/testkit/modtime"
)

// put writes a file with the given age.
func (b *fixture) put(name string, age time.Duration) {
	b.Helper()
	w, err := b.files.Create(b.Context(), name)
	if err != nil {
		b.Fatal(err)
	}
	if err := w.Commit(); err != nil {
		b.Fatal(err)
	}
	b.age(name, age)
}

// age sets the age of a file, which the store of [fixture.useModTimes] lists.
func (b *fixture) age(name string, age time.Duration) {
	b.Helper()
	changed := time.Now().Add(-age)
	if err := os.Chtimes(filepath.Join(b.dir, filepath.FromSlash(name)), changed, changed); err != nil {
		b.Fatal(err)
	}
}

// useModTimes makes the service use the times that [fixture.age] sets.
func (b *fixture) useModTimes() { b.Service.Blobs = modtime.Store{Store: b.files, Dir: b.dir} }

// unknownJob returns the id of a job that is in no row, one for each letter.
func unknownJob(letter string) string {
	return strings.Repeat(letter, 8) + "-7d2a-4c55-9a61-3f0e8d2b7c14"
}

// TestJanitorKeepsRecentOrphans checks that the janitor removes no file without a job until
// it is an hour old by the clock of the machine. The clock of the directory does not matter.
// A database that was restored beside production has such files.
func TestJanitorKeepsRecentOrphans(t *testing.T) { onBothDatabases(t, testRecentOrphans) }

func testRecentOrphans(t *testing.T, onPostgres bool) {
	b := newFixtureOn(t, onPostgres, nil)
	b.useModTimes()
	for name, age := range map[string]time.Duration{
		unknownJob("a") + "/1-1.ndjson.gz": 0, unknownJob("b") + "/1-1.ndjson.gz": 58 * time.Minute, unknownJob("c") + "/1-1.ndjson.gz.tmp7": 58 * time.Minute,
		unknownJob("d"): 58 * time.Minute, unknownJob("e") + "/1-1.ndjson.gz": -24 * time.Hour,
		unknownJob("0") + "/1-1.ndjson.gz": 61 * time.Minute, unknownJob("0") + "/1-2.ndjson.gz.tmp7": 61 * time.Minute, unknownJob("1"): 61 * time.Minute,
	} {
		b.put(strings.TrimSuffix(name, ".tmp7"), age)
		if strings.HasSuffix(name, ".tmp7") {
			path := filepath.Join(b.dir, filepath.FromSlash(name))
			if err := os.Rename(strings.TrimSuffix(path, ".tmp7"), path); err != nil {
				t.Fatal(err)
			}
		}
	}
	recent := strings.Join([]string{unknownJob("a") + "/1-1.ndjson.gz", unknownJob("b") + "/1-1.ndjson.gz", unknownJob("c") + "/1-1.ndjson.gz.tmp7",
		unknownJob("d"), unknownJob("e") + "/1-1.ndjson.gz"}, " ")
	for range 3 {
		if err := b.sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(b.blobs(), " "); got != recent {
			t.Fatalf("the janitor leaves %s; want %s", got, recent)
		}
		b.clock.Add(30 * 24 * time.Hour)
	}
}

// TestJanitorKeepsForeignFiles has files that are not export files: they belong to an
// operator and are kept, however old.
func TestJanitorKeepsForeignFiles(t *testing.T) { onBothDatabases(t, testForeignFiles) }

func testForeignFiles(t *testing.T, onPostgres bool) {
	b := newFixtureOn(t, onPostgres, nil)
	b.useModTimes()
	for _, name := range []string{"README", "notes/2026/disk.txt", "aaaaaaaa/1-1.ndjson.gz", unknownJob("a") + "0/1-1.ndjson.gz"} {
		b.put(name, 1000*time.Hour)
	}
	want := strings.Join(b.blobs(), " ")
	b.put(unknownJob("a")+"/1-1.ndjson.gz", 2*time.Hour)
	if err := b.sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(b.blobs(), " "); got != want {
		t.Errorf("the janitor leaves %s; want %s", got, want)
	}
}

// TestJanitorKeepsMovedOrphans moves an old file into the folder, as mv and cp -a do: it
// counts as new, despite its modification time.
func TestJanitorKeepsMovedOrphans(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux has the time at which a file was moved")
	}
	b := newFixtureOn(t, false, nil)
	b.put(unknownJob("a")+"/1-1.ndjson.gz", 48*time.Hour)
	if err := b.sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := len(b.blobs()); got != 1 {
		t.Errorf("the janitor leaves %d files", got)
	}
}

// TestJanitorRemovesKnownFilesAtOnce has files of ended jobs: they are removed whatever
// their age.
func TestJanitorRemovesKnownFilesAtOnce(t *testing.T) { onBothDatabases(t, testKnownAtOnce) }

func testKnownAtOnce(t *testing.T, onPostgres bool) {
	b := newFixtureOn(t, onPostgres, nil)
	b.fill(3)
	cancelled := b.kickOff("Practitioner")
	if err := b.Cancel(t.Context(), cancelled); err != nil {
		t.Fatal(err)
	}
	stop := start(t, b.Service)
	complete := b.kickOff("Practitioner")
	b.wait(b.Service, complete)
	stop()
	kept := strings.Join(b.blobs(), " ")
	b.put(cancelled+"/1-1.ndjson.gz", 0)
	b.put(complete+"/1-77.ndjson.gz", 0) // of a worker that lost its lease
	if err := b.sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(b.blobs(), " "); got != kept {
		t.Errorf("the janitor leaves %s; want %s", got, kept)
	}
}

// TestJanitorOfForeignFolder gives the folder to another owner while the server runs: the
// janitor removes no more files, neither of unknown nor of ended jobs, and logs that in
// each run.
func TestJanitorOfForeignFolder(t *testing.T) { onBothDatabases(t, testForeignFolder) }

func testForeignFolder(t *testing.T, onPostgres bool) {
	var foreign atomic.Bool
	var checks atomic.Int32
	var log bytes.Buffer
	b := newFixtureOn(t, onPostgres, func(c *Config) {
		c.SweepEvery = time.Millisecond
		c.Logger = slog.New(slog.NewTextHandler(&log, nil))
		c.Owned = func(context.Context) error {
			checks.Add(1)
			if foreign.Load() {
				return errors.New("the folder has another owner: run muster adopt")
			}
			return nil
		}
	})
	b.useModTimes()
	if err := b.sweep(t.Context()); err != nil || checks.Load() != 0 {
		t.Errorf("%v; %d checks without a file to remove", err, checks.Load())
	}
	b.fill(3)
	cancelled := b.kickOff("Practitioner")
	if err := b.Cancel(t.Context(), cancelled); err != nil {
		t.Fatal(err)
	}
	foreign.Store(true)
	b.put(unknownJob("f")+"/1-1.ndjson.gz", 48*time.Hour)
	b.put(cancelled+"/1-1.ndjson.gz", 0)
	want := strings.Join(b.blobs(), " ")
	rounds, passed := make(chan struct{}), atomic.Int32{}
	defer failpoint.Arm("export.sweep.listed", func(context.Context) error {
		if passed.Add(1) == 4 {
			close(rounds)
		}
		return nil
	})()
	stop := start(t, b.Service)
	<-rounds
	stop()
	if got := strings.Join(b.blobs(), " "); got != want {
		t.Errorf("the janitor leaves %s; want %s", got, want)
	}
	if n := strings.Count(log.String(), "2 files that no export names were not removed: the folder has another owner: run muster adopt"); n < 3 {
		t.Errorf("logged %d times in %d runs:\n%s", n, passed.Load(), &log)
	}
	foreign.Store(false)
	if err := b.sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := b.blobs(); len(got) != 0 {
		t.Errorf("with its own folder again the janitor leaves %q", got)
	}
}
