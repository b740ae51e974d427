package flow

import (
	"bytes"
	"testing"
)

// TestTerminatedServerGivesWorkBack ends a server in the middle of an export: it
// ends by itself, and the next one goes on with the job at once.
func TestTerminatedServerGivesWorkBack(t *testing.T) {
	p := newPlace(t)
	p.load(t, practitioners(t, 5000, "Kept"))
	s := p.serve(t, "", "--part-bytes", "40000")
	status := s.kickOff(everyPractitioner)
	if err := s.Terminate(); err != nil {
		t.Fatal(err)
	}
	all := bytes.Join(files(t, p.serve(t, "").wait(status)), nil)
	if n := bytes.Count(all, []byte("\n")); n != 5000 {
		t.Errorf("%d resources, want 5000", n)
	}
}
