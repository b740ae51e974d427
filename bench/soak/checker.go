package soak

import (
	"fmt"
	"sync"
	"time"
)

// checker collects the contents of complete exports and checks them at the end: an export
// at T must hold the version of each resource that was current at T. It is safe for use
// by several goroutines.
type checker struct {
	history *History

	mu      sync.Mutex
	known   map[Name]map[int]Line // every version that an export has held
	results []result
}

// result is a complete export.
type result struct {
	job      string
	sinces   []string // possible values of its _since; "" for none
	text     string   // transactionTime of the manifest
	until    time.Time
	lines    map[Name]Line
	expected map[Name]Expectation // acknowledged before its kick-off
}

func newChecker(h *History) *checker { return &checker{history: h, known: map[Name]map[int]Line{}} }

// add records a complete export. It returns an error if the export is wrong in itself.
func (c *checker) add(r result, lines []Line) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	r.lines = map[Name]Line{}
	for _, line := range lines {
		if err := c.history.CheckLine(line); err != nil {
			return fmt.Errorf("job %s: %w", r.job, err)
		}
		if line.Committed.After(r.until) {
			return fmt.Errorf("job %s: %s version %d was committed at %v, after T %v", r.job, line.Name, line.Version, line.Committed, r.until)
		}
		if _, twice := r.lines[line.Name]; twice {
			return fmt.Errorf("job %s: %s occurs twice", r.job, line.Name)
		}
		r.lines[line.Name] = line
		versions := c.known[line.Name]
		if versions == nil {
			versions = map[int]Line{}
			c.known[line.Name] = versions
		}
		if before, shown := versions[line.Version]; shown && before.Bytes != line.Bytes {
			return fmt.Errorf("job %s: %s version %d is\n%sand was\n%s", r.job, line.Name, line.Version, line.Bytes, before.Bytes)
		}
		versions[line.Version] = line
	}
	c.results = append(c.results, r)
	return nil
}

// check checks every export against all known versions.
func (c *checker) check() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range c.results {
		var err error
		for _, since := range r.sinces {
			if err = c.checkExport(r, since); err == nil {
				break
			}
		}
		if err != nil {
			return fmt.Errorf("job %s, _since %q, T %v: %w", r.job, r.sinces, r.until, err)
		}
	}
	return nil
}

// checkExport checks an export with one value of _since.
func (c *checker) checkExport(r result, since string) error {
	var from time.Time
	if since != "" {
		var err error
		if from, err = time.Parse(time.RFC3339Nano, since); err != nil {
			return err
		}
	}
	for n, versions := range c.known {
		var current Line // as of T, among the known versions
		for _, line := range versions {
			if !line.Committed.After(r.until) && line.Version > current.Version {
				current = line
			}
		}
		got, included := r.lines[n]
		wanted := current.Version > 0 && current.Committed.After(from) && (since != "" || !current.Hidden)
		switch {
		case included && !wanted && current.Hidden:
			return fmt.Errorf("%s version %d is included, though hidden", n, got.Version)
		case included && !wanted:
			return fmt.Errorf("%s version %d of %v is included, but is not after _since", n, got.Version, got.Committed)
		case included && got.Version != current.Version:
			return fmt.Errorf("%s has version %d, but version %d was committed at %v", n, got.Version, current.Version, current.Committed)
		case !included && wanted && !c.mayBeHidden(n, current.Version, since):
			return fmt.Errorf("%s is missing, but version %d was committed at %v", n, current.Version, current.Committed)
		}
	}
	for n, want := range r.expected {
		if line, included := r.lines[n]; included && line.Version < want.Version {
			return fmt.Errorf("%s has version %d, but version %d was acknowledged before the kick-off", n, line.Version, want.Version)
		} else if !included && since == "" && !c.mayBeHidden(n, want.Version-1, since) {
			return fmt.Errorf("%s is missing, but version %d was acknowledged before the kick-off", n, want.Version)
		}
	}
	return nil
}

// mayBeHidden reports whether a full export may omit a resource because a version after
// the given one, which no export has held, is hidden.
func (c *checker) mayBeHidden(n Name, after int, since string) bool {
	return since == "" && c.history.hiddenAfter(n, after)
}

// times returns the transaction times of the complete exports.
func (c *checker) times() (all []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range c.results {
		all = append(all, r.text)
	}
	return all
}

// last returns the export that was added last.
func (c *checker) last() result {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.results[len(c.results)-1]
}
