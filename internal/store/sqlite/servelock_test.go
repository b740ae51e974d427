package sqlite

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestServeLockIsWatched removes and replaces the lock file of a server. The watch must end
// with an error that says so, and must not end before.
func TestServeLockIsWatched(t *testing.T) {
	for name, c := range map[string]struct {
		change func(path string) error
		want   string // empty: the watch continues
	}{
		"removed": {os.Remove, "serve.lock, the lock of this server, was removed"},
		"replaced": {func(path string) error {
			if err := os.Rename(path, path+".old"); err != nil {
				return err
			}
			return os.WriteFile(path, nil, 0o600)
		}, "serve.lock, the lock of this server, was replaced"},
		"touched": {func(path string) error { return os.Chtimes(path, time.Now(), time.Now()) }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			lock, err := LockServe(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer lock.Close()
			mark, err := openTest(t, dir, time.Now).MarkServed(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			watched := mark.(lockedMark)
			watched.every = time.Millisecond
			if err := watched.check(); err != nil {
				t.Fatal(err)
			}
			if err := c.change(filepath.Join(dir, serveFile)); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if c.want == "" {
				if err := watched.check(); err != nil {
					t.Error(err)
				}
				cancel()
			}
			if err := watched.Watch(ctx); c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
}
