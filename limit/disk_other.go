//go:build !linux

package limit

import "errors"

// DiskUsage is not available on this system.
func DiskUsage(string) (int64, error) { return 0, errors.ErrUnsupported }

func freeBytes(string) (uint64, bool) { return 0, false }
