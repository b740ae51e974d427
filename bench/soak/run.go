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

// Main runs a soak as a program: it builds muster, makes a folder of its own, and ends
// the process with code 1 when the soak is broken. The folder of a broken run stays.
func Main(name string, soak func(ctx context.Context, program testkit.Program, dir string) error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := inFolder(name, func(dir string) error {
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

func inFolder(name string, run func(dir string) error) error {
	dir, err := os.MkdirTemp("", "muster-soak-"+name)
	if err != nil {
		return err
	}
	if err := run(dir); err != nil {
		return fmt.Errorf("%w\nwhat is left is in %s", err, dir)
	}
	return errors.Join(err, os.RemoveAll(dir))
}

// Quantile returns a quantile of some times, in tenths of a millisecond.
func Quantile(all []time.Duration, q float64) time.Duration {
	if len(all) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(all))
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))].Round(100 * time.Microsecond)
}

// Database returns the URL of the PostgreSQL database that a soak makes its own from, or
// "" for SQLite. name is what the option --database says.
func Database(name string) (url string, err error) {
	const variable = "MUSTER_TEST_POSTGRES"
	switch name {
	case "sqlite":
		return "", nil
	case "postgres":
		if url = os.Getenv(variable); url != "" {
			return url, nil
		}
		return "", fmt.Errorf("--database postgres: set %s to the URL of a database whose user may make others", variable)
	}
	return "", fmt.Errorf("--database %s: write sqlite or postgres", name)
}
