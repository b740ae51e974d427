// Package failures takes away what the program stands on, disks, files and databases,
// while it works, and looks at what it says and what is left. README.md has the
// language of the scripts.
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

// muster is the program under test, and where it stands.
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
			s := &stage{t: t}
			testscript.Run(t, testscript.Params{
				Files:               []string{script},
				RequireExplicitExec: true,
				Setup: func(env *testscript.Env) error {
					env.Setenv("PATH", filepath.Dir(string(muster))+string(filepath.ListSeparator)+env.Getenv("PATH"))
					env.Defer(s.end)
					return nil
				},
				Cmds: s.commands(),
			})
		})
	}
}

// stage is what one script plays on.
type stage struct {
	t        *testing.T
	server   *testkit.Server
	address  string
	read     int // of the log
	postgres *pgtest.Server
	database string
	mounts   []string
}

func (s *stage) commands() map[string]func(*testscript.TestScript, bool, []string) {
	commands := map[string]func(*testscript.TestScript, bool, []string){}
	for name, c := range map[string]struct {
		least, most int
		run         func(ts *testscript.TestScript, args []string)
	}{
		"practitioners": {3, 3, s.practitioners},
		"disk":          {2, 2, s.disk}, "readonly": {1, 1, s.readonly}, "writable": {1, 1, s.writable}, "fill": {1, 2, s.fill}, "free": {1, 1, s.free},
		"postgres": {0, 1, s.runPostgres},
		"serve":    {0, 99, s.serve}, "crash": {0, 0, s.crash}, "terminate": {0, 0, s.terminate}, "log": {1, 1, s.log}, "ready": {1, 1, s.ready},
		"kickoff": {0, 1, s.kickoff}, "poll": {1, 1, s.poll}, "download": {2, 2, s.download}, "exported": {1, 2, s.exported}, "cancel": {1, 1, s.cancel},
		"eventually": {1, 99, eventually}, "whole": {0, 0, s.whole},
	} {
		commands[name] = func(ts *testscript.TestScript, neg bool, args []string) {
			if neg || len(args) < c.least || len(args) > c.most {
				ts.Fatalf("%s: see README.md for how to write it", name)
			}
			c.run(ts, args)
		}
	}
	commands["exits"] = testkit.Exits
	return commands
}

var requests = regexp.MustCompile(`(?m)^.* msg=(request|route) .*\n`)

// end takes everything down, disks last.
func (s *stage) end() {
	if s.server != nil {
		s.server.Kill()
		if s.t.Failed() {
			s.t.Logf("log of the server, without requests:\n%s", requests.ReplaceAllString(s.server.Log(), ""))
		}
	}
	for n := len(s.mounts) - 1; n >= 0; n-- {
		unmount(s.t, s.mounts[n])
	}
}

func eventually(ts *testscript.TestScript, args []string) {
	wait(ts, func() error { return ts.Exec(args[0], args[1:]...) })
}

// wait tries until it works.
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

// where are the options that name the directory.
func (s *stage) where(ts *testscript.TestScript) []string {
	where := []string{"--data", ts.MkAbs("data")}
	if s.database != "" {
		where = append(where, "--database", s.database)
	}
	return where
}

func (s *stage) whole(ts *testscript.TestScript, _ []string) {
	if err := ts.Exec("muster", append([]string{"check", "--deep"}, s.where(ts)...)...); err != nil {
		ts.Fatalf("the check: %v", err)
	}
}
