//go:build unix

package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestConfigPipe names a pipe that no program writes to as the configuration file. The command ends
// with its context.
func TestConfigPipe(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	var out bytes.Buffer
	if code := run(app{ctx: ctx, stdout: &out, stderr: &out}, []string{"serve", "--config", pipe}); code == exitOK || !strings.Contains(out.String(), "read "+pipe) {
		t.Errorf("exit code %d, %s", code, out.String())
	}
	writer, err := os.OpenFile(pipe, os.O_WRONLY, 0) // ends the goroutine that still waits
	if err != nil {
		t.Fatal(err)
	}
	_ = writer.Close()
}

// TestConfigSize refuses a file that has no end.
func TestConfigSize(t *testing.T) {
	if _, err := readConfig(t.Context(), "/dev/zero"); err == nil || !strings.Contains(err.Error(), "too large") {
		t.Error(err)
	}
}
