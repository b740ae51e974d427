package export

import (
	"errors"
	"strings"
	"testing"
	"time"

	"muster/internal/client"
	"muster/internal/store"
)

// TestQuota checks that the files of finished exports count for their client until they expire or
// are deleted, and that none is removed before.
func TestQuota(t *testing.T) {
	b := newFixture(t, func(c *Config) {
		c.Quota = store.Quota{Client: 2 * store.LeastStored, Total: 3 * store.LeastStored}
		c.Retention = time.Hour
	})
	b.fill(2)
	defer start(t, b.Service)()
	kickOff := func(name string) (string, error) {
		id, err := b.KickOff(client.With(t.Context(), client.Client{Name: name}), b.request(nil, "Practitioner"))
		if err == nil {
			b.wait(b.Service, id)
			b.clock.Add(time.Minute)
		}
		return id, err
	}
	must := func(name string) string {
		t.Helper()
		id, err := kickOff(name)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	first, second := must("one"), must("one")
	refused := func(name string, total bool, seconds int) {
		t.Helper()
		_, err := kickOff(name)
		var full NoRoom
		if !errors.As(err, &full) || full.Total != total || full.RetryAfter != seconds {
			t.Errorf("a kick-off of %s: %v, Retry-After %d; want the limit (of all: %t), %d", name, err, full.RetryAfter, total, seconds)
		}
	}
	refused("one", false, 58*60) // two minutes have passed since the first began
	must("two")
	refused("two", true, 57*60)
	if files := b.download(first); len(files) != 1 {
		t.Errorf("the first export has %d files", len(files))
	}
	if err := b.Cancel(t.Context(), second); err != nil {
		t.Fatal(err)
	}
	third := must("one")
	b.clock.Add(57 * time.Minute) // the first has expired; the janitor has not run
	must("one")
	if files := b.download(third); len(files) != 1 {
		t.Errorf("the third export has %d files", len(files))
	}
}

// TestQuotaWhileWriting checks that an export that does not fit fails with that reason before its
// files are written, and then does not count any more.
func TestQuotaWhileWriting(t *testing.T) {
	b := newFixture(t, func(c *Config) { c.Quota.Client = 10 })
	b.fill(2)
	defer start(t, b.Service)()
	one := client.With(t.Context(), client.Client{Name: "one"})
	for range 2 {
		id, err := b.KickOff(one, b.request(nil, "Practitioner"))
		if err != nil {
			t.Fatal(err)
		}
		status := b.wait(b.Service, id)
		if status.State != store.Failed || !strings.Contains(status.Reason, "the limit is 10B") || !strings.Contains(status.Reason, "delete") {
			t.Errorf("the export is %s: %s", status.State, status.Reason)
		}
		if left := b.blobs(); len(left) != 0 {
			t.Errorf("files were written: %q", left)
		}
	}
}
