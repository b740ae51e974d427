package main

import (
	"bytes"
	"context"
	"io"
	"path/filepath"
	"strings"
	"testing"
)

// silentReader blocks forever, as a terminal without input does. It signals each read.
type silentReader struct{ waits chan<- bool }

func (s silentReader) Read([]byte) (int, error) {
	s.waits <- true
	select {}
}

// TestInterruptedLoad interrupts a load that waits for input.
func TestInterruptedLoad(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	waits := make(chan bool)
	go func() {
		<-waits
		interrupt()
	}()
	one := `{"resourceType":"Organization","id":"a","name":"A"}` + "\n"
	var stderr bytes.Buffer
	code := run(app{ctx: ctx, stdin: io.MultiReader(strings.NewReader(one), silentReader{waits}), stdout: io.Discard, stderr: &stderr},
		[]string{"load", "--data", filepath.Join(t.TempDir(), "data"), "-"})
	if code != exitFailed || !strings.Contains(stderr.String(), "run the command again to load the rest") {
		t.Errorf("exit code %d: %s", code, stderr.String())
	}
}
