package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"
)

// usage is what the server has used at most during a run. Sizes are in bytes.
type usage struct {
	memory      int64 // resident
	descriptors int64
	wal         int64 // of SQLite
	disk        int64 // of the data directory, without WAL and audit log
	diskBefore  int64 // the same at the start
	audit       int64 // of the audit log with its rotated files
	err         error // the first failure to read one of them
}

// samplingInterval is the interval of the samples. A walk through the data directory takes
// at most a twentieth of the time.
const samplingInterval = 200 * time.Millisecond

// sample samples the usage of the server until the returned function is called.
func (s *stage) sample() (stop func() usage) {
	var most usage
	done := make(chan struct{})
	var running sync.WaitGroup
	s.sampleDisk(&most)
	most.diskBefore, s.diskBefore = most.disk, most.disk
	running.Go(func() {
		tick := time.NewTicker(samplingInterval)
		defer tick.Stop()
		var nextWalk time.Time
		for {
			s.sampleProcess(&most)
			if start := time.Now(); start.After(nextWalk) {
				s.sampleDisk(&most)
				nextWalk = start.Add(20 * time.Since(start))
			}
			select {
			case <-done:
				return
			case <-tick.C:
			}
		}
	})
	return func() usage { close(done); running.Wait(); return most }
}

// sampleProcess reads the memory and the descriptors of the server.
func (s *stage) sampleProcess(most *usage) {
	proc := fmt.Sprintf("/proc/%d/", s.server.PID())
	memory, err := readNumber(proc+"status", residentMemory)
	most.note(err)
	most.memory = max(most.memory, memory<<10)
	open, err := os.ReadDir(proc + "fd")
	most.note(err)
	most.descriptors = max(most.descriptors, int64(len(open)))
}

// note keeps the first error.
func (u *usage) note(err error) {
	if err != nil && u.err == nil {
		u.err = fmt.Errorf("sample the server: %w", err)
	}
}

// residentMemory is the line of /proc/PID/status with the memory in KiB.
var residentMemory = regexp.MustCompile(`(?m)^VmRSS:\s+(\d+) kB$`)

// readNumber reads a number from a file.
func readNumber(path string, line *regexp.Regexp) (int64, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	found := line.FindSubmatch(text)
	if found == nil {
		return 0, fmt.Errorf("%s has no line %v", path, line)
	}
	return strconv.ParseInt(string(found[1]), 10, 64)
}

// sampleDisk reads the sizes of the files.
func (s *stage) sampleDisk(most *usage) {
	var disk, audit int64
	most.note(filepath.WalkDir(s.env.Data, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			return nil
		}
		var info fs.FileInfo
		if err == nil {
			info, err = d.Info()
		}
		if errors.Is(err, fs.ErrNotExist) { // removed meanwhile
			return nil
		}
		if err != nil {
			return err
		}
		switch name := d.Name(); {
		case strings.HasSuffix(name, "-wal"):
			most.wal = max(most.wal, info.Size())
		case strings.HasPrefix(name, "audit"):
			audit += info.Size()
		default:
			disk += info.Size()
		}
		return nil
	}))
	most.disk, most.audit = max(most.disk, disk), max(most.audit, audit)
}
