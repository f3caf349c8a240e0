//go:build !linux

package view

import (
	"context"
	"errors"
	"os"
)

// A Server serves views; only Linux has one.
type Server struct{}

// Start returns errors.ErrUnsupported.
func Start(context.Context, Options) (*Server, error) { return nil, errors.ErrUnsupported }

// Reexec returns false.
func Reexec([]string) bool { return false }

// Serve returns errors.ErrUnsupported.
func (*Server) Serve(int, *os.File) error { return errors.ErrUnsupported }

// Summary is empty.
func (*Server) Summary() Summary { return Summary{} }

// Done returns nil.
func (*Server) Done() <-chan struct{} { return nil }

// Err returns nil.
func (*Server) Err() error { return nil }

// Close does nothing.
func (*Server) Close() error { return nil }
