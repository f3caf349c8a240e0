//go:build !linux

package api

import (
	"errors"
	"net"
)

func checkPeer(*net.UnixConn) (string, error) { return "", errors.ErrUnsupported }
