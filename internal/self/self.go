// Package self starts this very program again under another name, as a process of belljar's
// own that may outlive the one that starts it.
//
// # Limitations
//
// The new process has the caller's identity. What it must not have of theirs beyond
// environment, terminal and folder, it takes from itself: see packages inherited and confine.
package self

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
)

// Command is this program with args, the first of which is its name: in / and in a session of
// its own, with what env says of how the internet is reached.
func Command(env []string, args ...string) *exec.Cmd {
	c := exec.Command("/proc/self/exe")
	if _, err := os.Stat(c.Path); err != nil {
		if own, err := os.Executable(); err == nil {
			c.Path = own
		}
	}
	c.Args, c.Dir, c.Env = args, "/", Environ(env)
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return c
}

// Environ is what env says of how the internet is reached, and the variables named more.
func Environ(env []string, more ...string) []string {
	names := append(more, "HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "NO_PROXY", "no_proxy", "SSL_CERT_FILE", "SSL_CERT_DIR", "GODEBUG", "LANG")
	kept := []string{} // not nil, which would be everything
	for _, e := range env {
		if name, _, _ := strings.Cut(e, "="); slices.Contains(names, name) {
			kept = append(kept, e)
		}
	}
	return kept
}
