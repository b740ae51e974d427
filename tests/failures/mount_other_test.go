//go:build !linux

package failures

import (
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

const noMounts = "skipped: these tests mount file systems only on Linux"

func (e *environment) disk(*testscript.TestScript, []string)       { e.t.Skip(noMounts) }
func (e *environment) realDisk(*testscript.TestScript, []string)   { e.t.Skip(noMounts) }
func (e *environment) breakDisk(*testscript.TestScript, []string)  { e.t.Skip(noMounts) }
func (e *environment) repairDisk(*testscript.TestScript, []string) { e.t.Skip(noMounts) }
func (e *environment) readonly(*testscript.TestScript, []string)   { e.t.Skip(noMounts) }
func (e *environment) writable(*testscript.TestScript, []string)   { e.t.Skip(noMounts) }

func unmount(*testing.T, string) {}
