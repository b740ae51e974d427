package soak

import (
	"fmt"
	"sync"
	"time"
)

// checker collects what complete exports held and judges it when all is known: an
// export at T holds, of each resource, the version that was current at T. Safe for use by
// several goroutines.
type checker struct {
	history *History

	mu      sync.Mutex
	known   map[Name]map[int]Line // every version that any export has shown
	results []result
}

// result is a complete export.
type result struct {
	job      string
	sinces   []string // what it may have been asked with as _since; "" for none
	text     string   // transactionTime as the manifest has it
	until    time.Time
	lines    map[Name]Line
	expected map[Name]Expectation // acknowledged before its kick-off
}

func newChecker(l *History) *checker { return &checker{history: l, known: map[Name]map[int]Line{}} }

// take notes a complete export. What is wrong by itself is an error at once.
func (j *checker) add(r result, lines []Line) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	r.lines = map[Name]Line{}
	for _, line := range lines {
		if err := j.history.CheckLine(line); err != nil {
			return fmt.Errorf("job %s: %w", r.job, err)
		}
		if line.Committed.After(r.until) {
			return fmt.Errorf("job %s: %s version %d was committed at %v, after T %v", r.job, line.Name, line.Version, line.Committed, r.until)
		}
		if _, twice := r.lines[line.Name]; twice {
			return fmt.Errorf("job %s: %s is there twice", r.job, line.Name)
		}
		r.lines[line.Name] = line
		versions := j.known[line.Name]
		if versions == nil {
			versions = map[int]Line{}
			j.known[line.Name] = versions
		}
		if before, shown := versions[line.Version]; shown && before.Bytes != line.Bytes {
			return fmt.Errorf("job %s: %s version %d is\n%sand was\n%s", r.job, line.Name, line.Version, line.Bytes, before.Bytes)
		}
		versions[line.Version] = line
	}
	j.results = append(j.results, r)
	return nil
}

// verdict judges every export by all that is known of the versions.
func (j *checker) check() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, r := range j.results {
		var err error
		for _, since := range r.sinces {
			if err = j.checkExport(r, since); err == nil {
				break
			}
		}
		if err != nil {
			return fmt.Errorf("job %s, _since %q, T %v: %w", r.job, r.sinces, r.until, err)
		}
	}
	return nil
}

// one judges an export that was asked with a _since.
func (j *checker) checkExport(r result, since string) error {
	var from time.Time
	if since != "" {
		var err error
		if from, err = time.Parse(time.RFC3339Nano, since); err != nil {
			return err
		}
	}
	for n, versions := range j.known {
		var current Line // as of T, as far as known
		for _, line := range versions {
			if !line.Committed.After(r.until) && line.Version > current.Version {
				current = line
			}
		}
		got, there := r.lines[n]
		wanted := current.Version > 0 && current.Committed.After(from) && (since != "" || !current.Hidden)
		switch {
		case there && !wanted && current.Hidden:
			return fmt.Errorf("%s version %d is there, though hidden", n, got.Version)
		case there && !wanted:
			return fmt.Errorf("%s version %d of %v is there, not after _since", n, got.Version, got.Committed)
		case there && got.Version != current.Version:
			return fmt.Errorf("%s has version %d, and version %d was committed at %v", n, got.Version, current.Version, current.Committed)
		case !there && wanted && !j.mayBeHidden(n, current.Version, since):
			return fmt.Errorf("%s is not there, and version %d was committed at %v", n, current.Version, current.Committed)
		}
	}
	for n, due := range r.expected {
		if line, there := r.lines[n]; there && line.Version < due.Version {
			return fmt.Errorf("%s has version %d, and version %d was acknowledged before the kick-off", n, line.Version, due.Version)
		} else if !there && since == "" && !j.mayBeHidden(n, due.Version-1, since) {
			return fmt.Errorf("%s is not there, and version %d was acknowledged before the kick-off", n, due.Version)
		}
	}
	return nil
}

// mayBeHidden tells whether a full export may lack a resource because a version after
// the one given, which no export has shown, is hidden.
func (j *checker) mayBeHidden(n Name, after int, since string) bool {
	return since == "" && j.history.hiddenAfter(n, after)
}

// times returns the transaction times of the complete exports.
func (j *checker) times() (all []string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, r := range j.results {
		all = append(all, r.text)
	}
	return all
}

// last returns the export that was taken last.
func (j *checker) last() result {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.results[len(j.results)-1]
}
