//go:build !linux

package backendtest

import (
	"errors"
	"os"
	"testing"
)

type view struct {
	t      *testing.T
	source string
	served []int
}

func (v *view) Serve(int, *os.File) error { return errors.New("no FUSE here") }

func hostKernel(*testing.T) string { return "" }
