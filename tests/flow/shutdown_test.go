package flow

import (
	"bytes"
	"testing"
)

// TestShutdownReleasesWork shuts a server down during an export: it exits, and the next
// one resumes the job at once.
func TestShutdownReleasesWork(t *testing.T) {
	p := newDeployment(t)
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
