// Package failpoint lets tests stop, slow or kill the program at named points in the code.
//
// A failpoint is a call of [Inject]. In production no failpoint is armed, and each costs
// one atomic read. A test in the same process arms a failpoint with [Arm]. A test of a
// child process sets the environment variable MUSTER_FAILPOINT before it starts the
// process:
//
//	export.part.written=kill    kills the process, as kill -9 does
//	export.part.written@3=kill  kills it at the third hit
//	export.part.written=stop    stops all threads of the process until SIGCONT
package failpoint

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

// Variable is the environment variable that arms failpoints in a child process.
const Variable = "MUSTER_FAILPOINT"

var (
	armed atomic.Int32
	mu    sync.Mutex
	hooks = map[string]func(context.Context) error{}
)

// Inject is a failpoint. It calls the armed hook and returns its error, or nil without a
// hook.
func Inject(ctx context.Context, name string) error {
	if armed.Load() == 0 {
		return nil
	}
	mu.Lock()
	hook := hooks[name]
	mu.Unlock()
	if hook == nil {
		return nil
	}
	return hook(ctx)
}

// Arm sets the hook of a failpoint and returns a function that removes it. A second hook
// for a name replaces the first. Arm is safe for use by several goroutines.
func Arm(name string, hook func(context.Context) error) (disarm func()) {
	mu.Lock()
	defer mu.Unlock()
	hooks[name] = hook
	armed.Store(int32(len(hooks)))
	return func() {
		mu.Lock()
		defer mu.Unlock()
		delete(hooks, name)
		armed.Store(int32(len(hooks)))
	}
}

// ArmFromEnvironment arms the failpoints of [Variable], a comma-separated list of
// NAME[@N]=kill and NAME[@N]=stop. The program calls it once, at its start.
func ArmFromEnvironment() error {
	for item := range strings.SplitSeq(os.Getenv(Variable), ",") {
		if item == "" {
			continue
		}
		target, action, ok := strings.Cut(item, "=")
		name, count, counted := strings.Cut(target, "@")
		if !slices.ContainsFunc(All, func(p Point) bool { return p.Name == name }) {
			return fmt.Errorf("%s: %q: no such failpoint: failpoint.All lists them", Variable, item)
		}
		hit := int64(1)
		if counted {
			n, err := strconv.ParseInt(count, 10, 64)
			if err != nil || n < 1 {
				return fmt.Errorf("%s: %q: the count after @ is not valid: write a whole number from 1", Variable, item)
			}
			hit = n
		}
		act := map[string]func(){"kill": kill, "stop": pause}[action]
		if action == "stop" && !canPause {
			return fmt.Errorf("%s: %q: this operating system cannot stop a process: use kill", Variable, item)
		}
		if !ok || act == nil {
			return fmt.Errorf("%s: %q: not a failpoint action: write NAME=kill, NAME@N=kill, NAME=stop or NAME@N=stop", Variable, item)
		}
		var hits atomic.Int64
		Arm(name, func(context.Context) error {
			if hits.Add(1) == hit {
				act()
			}
			return nil
		})
	}
	return nil
}

// kill ends the process as kill -9 does: without flushing buffers or running deferred calls.
func kill() {
	if self, err := os.FindProcess(os.Getpid()); err == nil {
		_ = self.Kill()
	}
	select {}
}
