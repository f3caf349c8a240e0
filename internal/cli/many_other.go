//go:build !linux

package cli

import (
	"os/exec"
	"syscall"
)

// tie keeps the terminal's signals for us: we pass them on, once.
func tie(c *exec.Cmd) { c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }
