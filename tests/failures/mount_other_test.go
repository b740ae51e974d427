//go:build !linux

package failures

import (
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

const noMounts = "skipped: these tests mount file systems only on Linux"

func (s *stage) disk(*testscript.TestScript, []string)     { s.t.Skip(noMounts) }
func (s *stage) readonly(*testscript.TestScript, []string) { s.t.Skip(noMounts) }
func (s *stage) writable(*testscript.TestScript, []string) { s.t.Skip(noMounts) }

func unmount(*testing.T, string) {}
