package soak

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"muster/internal/testkit"
)

// Main runs a soak test as a program. It builds muster, creates a temporary folder, and
// exits with code 1 when the test fails. The folder of a failed run is kept.
func Main(name string, soak func(ctx context.Context, program testkit.Program, dir string) error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := inTempDir(name, func(dir string) error {
		program, err := testkit.Build(dir)
		if err != nil {
			return err
		}
		return soak(ctx, program, dir)
	})
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		os.Exit(1)
	}
}

// WithProgram runs a soak test with the program at a path, or with a build of this source if the path
// is empty. The folder of the run is removed.
func WithProgram(path string, soak func(program testkit.Program, dir string) error) error {
	dir, err := os.MkdirTemp("", "muster-soak")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	program := testkit.Program(path)
	if path == "" {
		if program, err = testkit.Build(dir); err != nil {
			return err
		}
	}
	return soak(program, dir)
}

func inTempDir(name string, run func(dir string) error) error {
	dir, err := os.MkdirTemp("", "muster-soak-"+name)
	if err != nil {
		return err
	}
	if err := run(dir); err != nil {
		return fmt.Errorf("%w\nthe files of the run are in %s", err, dir)
	}
	return errors.Join(err, os.RemoveAll(dir))
}

// Quantile returns a quantile of the durations, rounded to 0.1 ms.
func Quantile(all []time.Duration, q float64) time.Duration {
	if len(all) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(all))
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))].Round(100 * time.Microsecond)
}

// Database returns the URL of the PostgreSQL server on which a soak test creates its
// databases, or "" for SQLite. name is the value of the flag --database.
func Database(name string) (url string, err error) {
	const variable = "MUSTER_TEST_POSTGRES"
	switch name {
	case "sqlite":
		return "", nil
	case "postgres":
		if url = os.Getenv(variable); url != "" {
			return url, nil
		}
		return "", fmt.Errorf("--database postgres: set %s to the URL of a database whose user may create databases", variable)
	}
	return "", fmt.Errorf("--database %s: use sqlite or postgres", name)
}
