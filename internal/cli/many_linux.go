package cli

import (
	"os/exec"
	"syscall"
)

// tie has a sandbox's supervisor end with us, and keeps the terminal's signals for us:
// we pass them on, once.
func tie(c *exec.Cmd) {
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}
