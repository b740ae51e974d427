package flow

import (
	"bytes"
	"testing"
	"time"

	"muster/internal/testkit"
)

// TestAnotherNodeFinishes has two servers on one PostgreSQL and one folder. The one
// that writes the parts of an export is killed in the middle; the other ends the job
// within two lease times, with the bytes that were selected, and its client learns of
// it there.
func TestAnotherNodeFinishes(t *testing.T) {
	t.Attr("requirements", "MA-01 MA-04 RE-13")
	const lease = 5 * time.Second
	p := newPostgresPlace(t)
	p.load(t, practitioners(t, 2000, "Before"))
	address, err := testkit.FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	// Behind one public address: links of both lead to the first, as through a proxy.
	other := place{data: p.data, database: p.database, address: address}
	args := []string{"--part-bytes", "40000", "--lease", lease.String(), "--sweep-every", "200ms"}

	dying := p.serve(t, "export.part.page@5", args...)
	alive := other.serve(t, "", append(args, "--base-url", dying.Base)...)
	// The other one stands still meanwhile, so that the one that will be killed has the
	// work.
	if err := alive.Stop(); err != nil {
		t.Fatal(err)
	}
	status := dying.kickOff(everyPractitioner)
	if err := dying.WaitKilled(); err != nil {
		t.Fatal(err)
	}
	p.load(t, practitioners(t, 2000, "After"))
	going := time.Now()
	if err := alive.Continue(); err != nil {
		t.Fatal(err)
	}

	m := alive.wait(alive.Base + status[len(dying.Base):])
	if took := time.Since(going); took > 2*lease {
		t.Errorf("the other server ended the job after %v, want at most two leases of %v", took, lease)
	}
	for i := range m.Output {
		m.Output[i].URL = alive.Base + m.Output[i].URL[len(dying.Base):]
	}
	got := files(t, m)
	all := bytes.Join(got, nil)
	if lines, before := bytes.Count(all, []byte("\n")), bytes.Count(all, []byte(`"family":"Before"`)); lines != 2000 || before != 2000 {
		t.Errorf("%d lines, %d with the family name Before; want 2000 of both", lines, before)
	}
	alive.noOrphans(p.data, len(got))
}
