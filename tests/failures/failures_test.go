// Package failures tests the program while disks, files and databases fail: it checks its
// messages and the remaining state. README.md describes the commands of the scripts.
package failures

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"muster/internal/testkit"
	"muster/internal/testkit/pgtest"

	"github.com/rogpeppe/go-internal/testscript"
)

// muster is the program under test.
var muster testkit.Program

func TestMain(m *testing.M) { os.Exit(testkit.Main(m, &muster)) }

// TestFailures runs testdata/*.txt.
func TestFailures(t *testing.T) {
	t.Attr("requirements", "RE-13 PO-07")
	scripts, err := filepath.Glob(filepath.Join("testdata", "*.txt"))
	if err != nil || len(scripts) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, script := range scripts {
		name := filepath.Base(script)
		t.Run(name[:len(name)-len(".txt")], func(t *testing.T) {
			e := &environment{t: t}
			testscript.Run(t, testscript.Params{
				Files:               []string{script},
				RequireExplicitExec: true,
				Setup: func(env *testscript.Env) error {
					env.Setenv("PATH", filepath.Dir(string(muster))+string(filepath.ListSeparator)+env.Getenv("PATH"))
					env.Defer(e.cleanUp)
					return nil
				},
				Cmds: e.commands(),
			})
		})
	}
}

// environment is the environment of one script.
type environment struct {
	t        *testing.T
	server   *testkit.Server
	address  string
	logRead  int // bytes of the log that the command log has matched
	postgres *pgtest.Server
	database string
	mounts   []string

	breakable string // the disk that breakDisk can break
	path      string // PATH without the limits of breakDisk

	undamaged func() // restores the pages that a script has damaged
}

func (e *environment) commands() map[string]func(*testscript.TestScript, bool, []string) {
	commands := map[string]func(*testscript.TestScript, bool, []string){}
	for name, c := range map[string]struct {
		least, most int
		run         func(ts *testscript.TestScript, args []string)
	}{
		"practitioners": {3, 3, e.practitioners}, "bundle": {2, 2, e.bundle},
		"disk": {2, 2, e.disk}, "readonly": {1, 1, e.readonly}, "writable": {1, 1, e.writable}, "fill": {1, 2, e.fill}, "free": {1, 1, e.free},
		"realdisk": {2, 2, e.realDisk}, "break": {1, 1, e.breakDisk}, "repair": {1, 1, e.repairDisk},
		"postgres": {0, 1, e.runPostgres}, "damage": {2, 2, e.damage}, "undamage": {0, 0, e.undamage}, "metrics": {0, 0, e.metrics},
		"serve": {0, 99, e.serve}, "crash": {0, 0, e.crash}, "terminate": {0, 1, e.terminate}, "fliplog": {1, 1, e.flipLog}, "exited": {1, 1, e.exited}, "log": {1, 1, e.log}, "ready": {1, 1, e.ready},
		"get":     {2, 2, e.get},
		"kickoff": {0, 1, e.kickoff}, "poll": {1, 1, e.poll}, "download": {2, 2, e.download}, "exported": {1, 2, e.exported}, "cancel": {1, 1, e.cancel},
		"eventually": {1, 99, eventually}, "verify": {0, 0, e.verify},
	} {
		commands[name] = func(ts *testscript.TestScript, neg bool, args []string) {
			if neg || len(args) < c.least || len(args) > c.most {
				ts.Fatalf("%s: wrong arguments: see README.md", name)
			}
			c.run(ts, args)
		}
	}
	commands["exits"] = testkit.Exits
	return commands
}

var requests = regexp.MustCompile(`(?m)^.* msg=(request|route) .*\n`)

// cleanUp ends the server, and then unmounts the disks.
func (e *environment) cleanUp() {
	if e.server != nil {
		e.server.Kill()
		if e.t.Failed() {
			e.t.Logf("log of the server, without requests:\n%s", requests.ReplaceAllString(e.server.Log(), ""))
		}
	}
	for n := len(e.mounts) - 1; n >= 0; n-- {
		unmount(e.t, e.mounts[n])
	}
}

func eventually(ts *testscript.TestScript, args []string) {
	wait(ts, func() error { return ts.Exec(args[0], args[1:]...) })
}

// wait retries until try succeeds.
func wait(ts *testscript.TestScript, try func() error) {
	deadline := time.Now().Add(testkit.Patience)
	for {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("after %s: %v", testkit.Patience, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// options returns the options that name the directory.
func (e *environment) options(ts *testscript.TestScript) []string {
	options := []string{"--data", ts.MkAbs("data")}
	if e.database != "" {
		options = append(options, "--database", e.database)
	}
	return options
}

func (e *environment) verify(ts *testscript.TestScript, _ []string) {
	if err := ts.Exec("muster", append([]string{"check", "--deep"}, e.options(ts)...)...); err != nil {
		ts.Fatalf("the check: %v", err)
	}
}
