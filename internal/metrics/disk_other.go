//go:build !linux && !darwin && !windows

package metrics

import "errors"

// freeBytes is not known on this operating system.
func freeBytes(string) (uint64, error) { return 0, errors.ErrUnsupported }
