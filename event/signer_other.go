//go:build !linux

package event

import "errors"

// Reexec returns false: no process signs here.
func Reexec([]string) bool { return false }

func startSigner(string) (headSigner, func(), error) { return nil, nil, errors.ErrUnsupported }
