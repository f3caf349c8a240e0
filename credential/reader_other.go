//go:build !linux

package credential

import (
	"errors"
	"io"
)

// Reexec is the process that reads; there is none here.
func Reexec([]string) bool { return false }

func startReader() (io.ReadWriteCloser, func() error, error) { return nil, nil, errors.ErrUnsupported }
