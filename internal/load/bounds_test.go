package load

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"

	"muster/internal/fhir"
	"muster/internal/store"
)

// TestReadAhead checks that the reader stops a few batches ahead of a slow directory,
// however long the input is.
func TestReadAhead(t *testing.T) {
	if testing.Short() {
		t.Skip("slow: loads large files")
	}
	extractor := newExtractor(t)
	synctest.Test(t, func(t *testing.T) {
		enough := errors.New("enough")
		goOn := make(chan struct{})
		m := newMemory()
		m.apply = func(int) error {
			<-goOn
			return enough
		}
		endless := &repeated{line: strings.Replace(org("o"), "Harbour", strings.Repeat("Harbour ", 1000), 1) + "\n"}
		done := make(chan error)
		go func() {
			_, err := Run(context.Background(), Config{Directory: m, Extractor: extractor}, []Input{FromReader("endless", endless)})
			done <- err
		}()
		synctest.Wait() // until all goroutines are blocked
		// One batch is being applied, one for each worker waits for it, and one is full and
		// waits to be queued.
		if most := int64((workers+2)*(batchBytes+8000) + 2*peekSize); endless.read > most || endless.read < 2*batchBytes {
			t.Errorf("read %d MiB ahead, want at most %d and more than one batch", endless.read>>20, most>>20)
		}
		close(goOn)
		if err := <-done; !errors.Is(err, enough) {
			t.Errorf("the load ended with %v", err)
		}
	})
}

// repeated is an endless reader of one line.
type repeated struct {
	line string
	at   int
	read int64
}

func (r *repeated) Read(p []byte) (int, error) {
	n := copy(p, r.line[r.at:])
	r.at = (r.at + n) % len(r.line)
	r.read += int64(n)
	return n, nil
}

var _ io.Reader = (*repeated)(nil)

// TestPendingRefSize checks that a pending reference takes no more memory than documented
// for maxPending, and none after its target is loaded.
func TestPendingRefSize(t *testing.T) {
	if testing.Short() {
		t.Skip("slow: fills the memory of a load up to its limit")
	}
	const resources, each, most = 50_000, 2, 150
	p := newPreparer(t)
	c := newCrossChecks(nothing{}, newExtractor(t))
	before := liveHeap()
	for i := range resources {
		id := fmt.Sprintf("%08d-93a5-4b2e-8f0a-5d1c7b9e6f42", i)
		out, r := prepareText(p, fmt.Sprintf(`{"resourceType":"HealthcareService","id":%q,
			"providedBy":{"reference":"Organization/a%s"},"location":[{"reference":"Location/b%s"}]}`, id, id[1:], id[1:]))
		if r != nil {
			t.Fatal(r)
		}
		list := []committed{{file: "HealthcareService.ndjson", line: i + 1, t: fhir.HealthcareService, id: out.change.ID, links: out.links}}
		if err := c.check(t.Context(), list, nil); err != nil {
			t.Fatal(err)
		}
	}
	size := (liveHeap() - before) / (resources * each)
	if c.pendingCount != resources*each {
		t.Fatalf("%d pending references, want %d", c.pendingCount, resources*each)
	}
	t.Logf("%d bytes for each reference that waits", size)
	if size > most {
		t.Errorf("%d bytes for each pending reference, want at most %d", size, most)
	}
	for i := range resources {
		rest := fmt.Sprintf("%08d-93a5-4b2e-8f0a-5d1c7b9e6f42", i)[1:]
		c.resolve(&committed{t: fhir.Organization, id: "a" + rest})
		c.resolve(&committed{t: fhir.Location, id: "b" + rest})
	}
	if c.pendingCount != 0 || len(c.pending) != 0 {
		t.Errorf("%d references to %d targets are still pending", c.pendingCount, len(c.pending))
	}
	runtime.KeepAlive(c)
}

// nothing is a directory without resources.
type nothing struct {
	store.Directory
	store.ChangeLog
	store.Reader
}

func (nothing) Present(context.Context, fhir.Type, []string) (map[string]bool, error) {
	return nil, nil
}

func liveHeap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
