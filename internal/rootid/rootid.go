// Package rootid turns a belljar that was started as root into one that is not.
//
// No part of belljar works as host root. [Enter] is called first by every
// command that touches a project or belljar's state. Started as an ordinary user
// it does nothing. Started as root it makes a private mount namespace in which
// the caller's home and the workspace are mounted idmapped
// (mount_setattr(2), MOUNT_ATTR_IDMAP), so that what the owner of the folder may do there, one
// unprivileged host identity may do, and files keep their owner on disk; then it
// executes itself again as that identity. Inside the sandbox the identity is uid 0.
//
// The identity is the user "belljar" where there is one, else the fixed uid
// [DefaultID], which must not belong to anybody.
//
// # Limitations
//
// A file system without idmapped mounts is refused with the remedy. One owner is
// mapped per folder: the owner of the folder itself. Files of others keep their
// meaning: they are readable where their mode says so for everybody.
package rootid

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/belljar-dev/belljar/internal/ahead"
)

const (
	// DefaultID is the uid and gid used when there is no user "belljar". It lies
	// between the ranges that systemd assigns.
	DefaultID  = 60943
	StateDir   = "/var/lib/belljar" // where belljar keeps state as root
	RuntimeDir = "/run/belljar"     // and its sockets

	marker = ahead.RootMarker
)

// A Request names what the identity must be able to reach.
type Request struct {
	Home string   // the caller's home
	Dirs []string // workspace and other folders of the command line; may lie below Home, need not exist
}

// StartedAsRoot says whether this process came out of [Enter] as root's stand-in.
func StartedAsRoot() bool {
	return os.Getenv(marker) != "" && os.Geteuid() != 0
}

// Environ is the environment without what this package put into it.
func Environ() []string {
	var out []string
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, marker+"=") {
			out = append(out, e)
		}
	}
	return out
}

// topmost drops paths that lie below another one, and what does not exist.
func topmost(paths []string) []string {
	var real []string
	for _, p := range paths {
		if p == "" {
			continue
		}
		r, err := filepath.EvalSymlinks(p)
		if err != nil {
			continue
		}
		real = append(real, r)
	}
	var out []string
	for i, p := range real {
		covered := false
		for j, q := range real {
			if i != j && (strings.HasPrefix(p+"/", q+"/") && (p != q || j < i)) {
				covered = true
			}
		}
		if !covered {
			out = append(out, p)
		}
	}
	return out
}
