package flow

import (
	"bytes"
	"testing"
	"time"

	"muster/internal/testkit"
)

// TestAnotherNodeFinishes has two servers on one PostgreSQL database and one folder. The
// server that writes the parts of an export is killed; the other one completes the job
// within two leases, with the selected bytes, and serves it to the client.
func TestAnotherNodeFinishes(t *testing.T) {
	t.Attr("requirements", "MA-01 MA-04 RE-13")
	const lease = 5 * time.Second
	p := newPostgresDeployment(t)
	p.load(t, practitioners(t, 2000, "Before"))
	address, err := testkit.FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	// Both have the same public address, as behind a proxy: links point to the first server.
	other := deployment{data: p.data, database: p.database, address: address}
	args := []string{"--part-bytes", "40000", "--lease", lease.String(), "--sweep-every", "200ms"}

	dying := p.serve(t, "export.part.page@5", args...)
	alive := other.serve(t, "", append(args, "--base-url", dying.Base)...)
	// The other one is paused, so that the one that will be killed claims the work.
	if err := alive.Stop(); err != nil {
		t.Fatal(err)
	}
	status := dying.kickOff(everyPractitioner)
	if err := dying.WaitKilled(); err != nil {
		t.Fatal(err)
	}
	p.load(t, practitioners(t, 2000, "After"))
	resumed := time.Now()
	if err := alive.Continue(); err != nil {
		t.Fatal(err)
	}

	m := alive.wait(alive.Base + status[len(dying.Base):])
	if took := time.Since(resumed); took > 2*lease {
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
