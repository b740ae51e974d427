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

	"muster/internal/blob"
	"muster/internal/failpoint"
)

// put writes a file of the given age.
func (b *bundle) put(name string, age time.Duration) {
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

// age gives a file its time of change, as the folder of [agedFiles] tells it.
func (b *bundle) age(name string, age time.Duration) {
	b.Helper()
	changed := time.Now().Add(-age)
	if err := os.Chtimes(filepath.Join(b.dir, filepath.FromSlash(name)), changed, changed); err != nil {
		b.Fatal(err)
	}
}

// aged is a folder whose files are as old as their bytes, wherever they come from, so that a test
// can say how old they are.
type aged struct {
	blob.Store
	dir string
}

// List implements [blob.Store].
func (a aged) List(ctx context.Context, yield func(name string, modified time.Time) error) error {
	return a.Store.List(ctx, func(name string, _ time.Time) error {
		info, err := os.Stat(filepath.Join(a.dir, filepath.FromSlash(name)))
		if err != nil {
			return err
		}
		return yield(name, info.ModTime())
	})
}

// agedFiles lets a bundle believe the times that [bundle.age] gives.
func (b *bundle) agedFiles() { b.Service.Blobs = aged{b.files, b.dir} }

// stranger is the id of a job that no row knows, one for each letter.
func stranger(letter string) string {
	return strings.Repeat(letter, 8) + "-7d2a-4c55-9a61-3f0e8d2b7c14"
}

// TestJanitorLeavesYoungStrangers has files of jobs that no row knows, as a database that was
// restored beside production finds them: none goes before it is an hour old by the clock of the
// machine, wherever the clock of the directory stands.
func TestJanitorLeavesYoungStrangers(t *testing.T) { onEach(t, testYoungStrangers) }

func testYoungStrangers(t *testing.T, onPostgres bool) {
	b := newBundleOn(t, onPostgres, nil)
	b.agedFiles()
	for name, age := range map[string]time.Duration{
		stranger("a") + "/1-1.ndjson.gz": 0, stranger("b") + "/1-1.ndjson.gz": 58 * time.Minute, stranger("c") + "/1-1.ndjson.gz.tmp7": 58 * time.Minute,
		stranger("d"): 58 * time.Minute, stranger("e") + "/1-1.ndjson.gz": -24 * time.Hour,
		stranger("0") + "/1-1.ndjson.gz": 61 * time.Minute, stranger("0") + "/1-2.ndjson.gz.tmp7": 61 * time.Minute, stranger("1"): 61 * time.Minute,
	} {
		b.put(strings.TrimSuffix(name, ".tmp7"), age)
		if strings.HasSuffix(name, ".tmp7") {
			path := filepath.Join(b.dir, filepath.FromSlash(name))
			if err := os.Rename(strings.TrimSuffix(path, ".tmp7"), path); err != nil {
				t.Fatal(err)
			}
		}
	}
	young := strings.Join([]string{stranger("a") + "/1-1.ndjson.gz", stranger("b") + "/1-1.ndjson.gz", stranger("c") + "/1-1.ndjson.gz.tmp7",
		stranger("d"), stranger("e") + "/1-1.ndjson.gz"}, " ")
	for range 3 {
		if err := b.sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(b.blobs(), " "); got != young {
			t.Fatalf("the janitor leaves %s; want %s", got, young)
		}
		b.clock.move(30 * 24 * time.Hour)
	}
}

// TestJanitorLeavesForeignFiles has files on the disk that are no exports, however old: they are
// an operator's.
func TestJanitorLeavesForeignFiles(t *testing.T) { onEach(t, testForeignFiles) }

func testForeignFiles(t *testing.T, onPostgres bool) {
	b := newBundleOn(t, onPostgres, nil)
	b.agedFiles()
	for _, name := range []string{"README", "notes/2026/disk.txt", "aaaaaaaa/1-1.ndjson.gz", stranger("a") + "0/1-1.ndjson.gz"} {
		b.put(name, 1000*time.Hour)
	}
	want := strings.Join(b.blobs(), " ")
	b.put(stranger("a")+"/1-1.ndjson.gz", 2*time.Hour)
	if err := b.sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(b.blobs(), " "); got != want {
		t.Errorf("the janitor leaves %s; want %s", got, want)
	}
}

// TestJanitorLeavesMovedStrangers moves an old file into the folder, as mv and cp -a do: it is
// young, whatever the time of its bytes.
func TestJanitorLeavesMovedStrangers(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells when a file was moved")
	}
	b := newBundleOn(t, false, nil)
	b.put(stranger("a")+"/1-1.ndjson.gz", 48*time.Hour)
	if err := b.sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := len(b.blobs()); got != 1 {
		t.Errorf("the janitor leaves %d files", got)
	}
}

// TestJanitorTakesKnownFilesAtOnce has files of jobs that are over: they need no hour.
func TestJanitorTakesKnownFilesAtOnce(t *testing.T) { onEach(t, testKnownAtOnce) }

func testKnownAtOnce(t *testing.T, onPostgres bool) {
	b := newBundleOn(t, onPostgres, nil)
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

// TestJanitorOfAnothersFolder has a folder that was given to somebody else while the server
// runs: it removes nothing any more, neither what no row knows nor what a job has left, and says
// so in every round.
func TestJanitorOfAnothersFolder(t *testing.T) { onEach(t, testAnothersFolder) }

func testAnothersFolder(t *testing.T, onPostgres bool) {
	var gone atomic.Bool
	var asked atomic.Int32
	var log bytes.Buffer
	b := newBundleOn(t, onPostgres, func(c *Config) {
		c.SweepEvery = time.Millisecond
		c.Logger = slog.New(slog.NewTextHandler(&log, nil))
		c.Owned = func(context.Context) error {
			asked.Add(1)
			if gone.Load() {
				return errors.New("it is another's: run muster adopt")
			}
			return nil
		}
	})
	b.agedFiles()
	if err := b.sweep(t.Context()); err != nil || asked.Load() != 0 {
		t.Errorf("%v; asked %d times though there is nothing to remove", err, asked.Load())
	}
	b.fill(3)
	cancelled := b.kickOff("Practitioner")
	if err := b.Cancel(t.Context(), cancelled); err != nil {
		t.Fatal(err)
	}
	gone.Store(true)
	b.put(stranger("f")+"/1-1.ndjson.gz", 48*time.Hour)
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
	if n := strings.Count(log.String(), "2 files that no export names stay: it is another's: run muster adopt"); n < 3 {
		t.Errorf("the log tells it %d times in %d rounds:\n%s", n, passed.Load(), &log)
	}
	gone.Store(false)
	if err := b.sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := b.blobs(); len(got) != 0 {
		t.Errorf("when it is the directory's again the janitor leaves %q", got)
	}
}
