// Package failpoint names the places where a crash could hurt, so that tests can
// stop, slow or kill the program exactly there.
//
// A place is a call of [Inject]. In production nothing is armed and a point costs
// one atomic read. A test in the same process arms a point with [Arm]; a test
// of a child process sets the environment variable MUSTER_FAILPOINT before the
// start: "export.part.written=kill" dies there as from kill -9,
// "export.part.written@3=kill" on the third hit, and "export.part.written=stop"
// stands still there, the whole process, until somebody sends it SIGCONT.
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

// Variable is the environment variable that arms points in a child process.
const Variable = "MUSTER_FAILPOINT"

var (
	armed atomic.Int32
	mu    sync.Mutex
	hooks = map[string]func(context.Context) error{}
)

// Inject marks a place. It returns what the armed hook returns, or nil.
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

// Arm sets the hook of a point and returns a function that takes it away. Safe
// for use by several goroutines; a second hook for a name replaces the first.
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

// ArmFromEnvironment reads [Variable], a comma list of NAME[@N]=kill or =stop, and arms
// what it names. Called once by the program's start.
func ArmFromEnvironment() error {
	for item := range strings.SplitSeq(os.Getenv(Variable), ",") {
		if item == "" {
			continue
		}
		place, action, ok := strings.Cut(item, "=")
		name, count, counted := strings.Cut(place, "@")
		if !slices.ContainsFunc(All, func(p Point) bool { return p.Name == name }) {
			return fmt.Errorf("%s: %q: there is no such failpoint: failpoint.All lists them", Variable, item)
		}
		hit := int64(1)
		if counted {
			n, err := strconv.ParseInt(count, 10, 64)
			if err != nil || n < 1 {
				return fmt.Errorf("%s: %q: the count after @ is a whole number from 1", Variable, item)
			}
			hit = n
		}
		act := map[string]func(){"kill": kill, "stop": pause}[action]
		if action == "stop" && !canPause {
			return fmt.Errorf("%s: %q: this operating system cannot stop a process: use kill", Variable, item)
		}
		if !ok || act == nil {
			return fmt.Errorf("%s: %q: write NAME=kill or NAME@N=kill, or stop instead of kill", Variable, item)
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

// kill ends the process as kill -9 does: nothing is flushed and no deferred function runs.
func kill() {
	if self, err := os.FindProcess(os.Getpid()); err == nil {
		_ = self.Kill()
	}
	select {}
}
