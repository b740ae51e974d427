package filelock

import (
	"os"
	"path/filepath"
	"testing"
)

// TestTry checks which locks exclude which others.
func TestTry(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	for _, c := range []struct {
		first, second Mode
		want          bool
	}{{Exclusive, Exclusive, false}, {Exclusive, Shared, false}, {Shared, Exclusive, false}, {Shared, Shared, true}} {
		first, second := open(t, path), open(t, path)
		if held, err := Try(first, c.first); err != nil || !held {
			t.Fatalf("%v: the first: %v, %v", c, held, err)
		}
		if held, err := Try(second, c.second); err != nil || held != c.want {
			t.Errorf("%v: the second: %v, %v", c, held, err)
		}
		if err := first.Close(); err != nil {
			t.Fatal(err)
		}
		if err := Wait(second, c.second); err != nil {
			t.Errorf("%v: after the first was closed: %v", c, err)
		}
		_ = second.Close()
	}
	closed := open(t, path)
	_ = closed.Close()
	if held, err := Try(closed, Shared); err == nil || held {
		t.Errorf("a closed file: %v, %v", held, err)
	}
}

func open(t *testing.T, path string) *os.File {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	return f
}
