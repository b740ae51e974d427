package main

import (
	"bytes"
	"context"
	"io"
	"path/filepath"
	"strings"
	"testing"
)

// silent is a terminal where nobody types: a read tells that it waits, and waits.
type silent struct{ waits chan<- bool }

func (s silent) Read([]byte) (int, error) {
	s.waits <- true
	select {}
}

// TestLoadOfASilentInputEnds interrupts a load that waits for its input.
func TestLoadOfASilentInputEnds(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	waits := make(chan bool)
	go func() {
		<-waits
		interrupt()
	}()
	one := `{"resourceType":"Organization","id":"a","name":"A"}` + "\n"
	var stderr bytes.Buffer
	code := run(app{ctx: ctx, stdin: io.MultiReader(strings.NewReader(one), silent{waits}), stdout: io.Discard, stderr: &stderr},
		[]string{"load", "--data", filepath.Join(t.TempDir(), "data"), "-"})
	if code != exitFailed || !strings.Contains(stderr.String(), "run again to load the rest") {
		t.Errorf("exit code %d: %s", code, stderr.String())
	}
}
