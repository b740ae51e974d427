package soak

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"muster/internal/testkit"
)

// logs damages the write-ahead logs of both databases: after the server was killed, and while one
// runs, which is then terminated. A server that starts afterwards must have the last load, and the
// exports from before.
func (d *damageRun) logs() error {
	if d.plan.Logs == 0 {
		return nil
	}
	status, err := d.leaveLogs()
	if err != nil {
		return err
	}
	for n := range d.plan.Logs {
		if err := d.log(n, status); err != nil {
			return err
		}
	}
	return nil
}

// logTemplate is the folder of a directory whose server was killed.
const logTemplate = "killed"

// leaveLogs loads changes and exports them, and kills the server. It returns the status URL of an
// export of everything.
func (d *damageRun) leaveLogs() (status string, err error) {
	data := filepath.Join(d.dir, logTemplate)
	if err := os.CopyFS(data, os.DirFS(d.whole)); err != nil {
		return "", err
	}
	s, err := d.serve(data)
	if err != nil {
		return "", err
	}
	defer s.Kill()
	if err := d.loadChanged(7, "--data", data); err != nil {
		return "", err
	}
	d.want = nil
	if err := d.exportWhole(s); err != nil {
		return "", err
	}
	if status, err = s.KickOff(testkit.Parameters("", damageFilters[0]...)); err != nil {
		return "", err
	}
	_, err = s.Wait(d.ctx, status)
	return status, err
}

// log damages one log in one way, and exports what is left.
func (d *damageRun) log(n int, status string) error {
	data := filepath.Join(d.dir, "copy")
	if err := errors.Join(os.RemoveAll(data), os.CopyFS(data, os.DirFS(filepath.Join(d.dir, logTemplate)))); err != nil {
		return err
	}
	name := []string{"directory.db", "jobs.db"}[n%2]
	var running *testkit.Server
	when := "after a kill"
	if n%3 == 2 {
		var err error
		if running, err = d.serve(data); err != nil {
			return fmt.Errorf("without damage: %w", err)
		}
		defer running.Kill()
		when = "before the end"
	}
	kind, at, err := d.damageLog(filepath.Join(data, name+"-wal"), n)
	if err != nil {
		return err
	}
	if running != nil {
		_ = running.Terminate() // its exit code says that the log is damaged
	}
	how := fmt.Sprintf("log of %s, %s %s", name, kind, when)
	d.wait = damagedWait
	s, err := d.serve(data)
	d.wait = 0
	if s != nil {
		defer s.Kill()
	}
	if err != nil {
		d.report.Starts[how]++
		return d.ctx.Err()
	}
	for e, filters := range damageFilters {
		lines, err := d.export(s, filters)
		d.judgeLog(n, how, at, e, lines, err)
	}
	ctx, cancel := context.WithTimeout(d.ctx, time.Minute)
	defer cancel()
	lines, err := d.download(ctx, s, status)
	if err != nil && strings.Contains(err.Error(), "404") {
		d.report.Wrong = append(d.report.Wrong, fmt.Sprintf("log %d, %s at %d: an export is lost: %v", n, how, at, err))
		return d.ctx.Err()
	}
	d.judgeLog(n, how, at, 0, lines, err)
	return d.ctx.Err()
}

// judgeLog counts the outcome of an export.
func (d *damageRun) judgeLog(n int, how string, at, e int, lines []string, err error) {
	outcome := "failed"
	if err == nil {
		outcome = d.compare(e, lines)
	}
	if outcome == otherResult {
		outcome = "without all that was loaded"
	}
	d.report.Exports[how+": "+outcome]++
	if outcome != "failed" && outcome != "right" {
		d.report.Wrong = append(d.report.Wrong, fmt.Sprintf("log %d, %s at %d: export %d: %s", n, how, at, e, outcome))
	}
}

const (
	logHeaderBytes = 32
	logFrameBytes  = 24 + pageBytes
)

// damageLog damages a log, which may be in use, in one of five ways. It returns the place.
func (d *damageRun) damageLog(path string, n int) (how string, at int, err error) {
	log, err := os.ReadFile(path)
	if err != nil {
		return "", 0, err
	}
	frames := (len(log) - logHeaderBytes) / logFrameBytes
	if frames < 2 {
		return "", 0, fmt.Errorf("the log %s has %d frames", filepath.Base(path), frames)
	}
	frame := func() []byte {
		at = logHeaderBytes + d.random.IntN(frames)*logFrameBytes
		return log[at : at+logFrameBytes]
	}
	switch n % 5 {
	case 0:
		at = d.random.IntN(len(log))
		log[at] ^= 1 << d.random.IntN(8)
		how = "a flipped bit"
	case 1:
		frame()[d.random.IntN(24)] ^= 1 << d.random.IntN(8)
		how = "a flipped bit in a header"
	case 2:
		at = d.random.IntN(len(log))
		clear(log[at:min(len(log), at+pageBytes)])
		how = "zeros"
	case 3:
		a, b := frame(), frame()
		kept := bytes.Clone(a)
		copy(a, b)
		copy(b, kept)
		how = "swapped frames"
	case 4:
		at = logHeaderBytes + 1 + d.random.IntN(len(log)-logHeaderBytes-1)
		return "cut", at, os.Truncate(path, int64(at))
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return "", 0, err
	}
	_, err = f.WriteAt(log, 0)
	return how, at, errors.Join(err, f.Close())
}
