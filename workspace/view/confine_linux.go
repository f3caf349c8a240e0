package view

import (
	"fmt"

	"github.com/landlock-lsm/go-landlock/landlock"
	"golang.org/x/sys/unix"

	"github.com/belljar-dev/belljar/internal/confine/calls"
)

// confine gives up what the server does not need. The first line against a bug in
// it is that every access walks below a root without following links; this is the
// second: Landlock, as far as the kernel has it, and a filter of system calls.
func confine(cfg *config) error {
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("give up privileges: %w", err)
	}
	dirs := []string{cfg.Workspace.Shadow}
	for _, v := range cfg.Workspace.Views {
		dirs = append(dirs, v.Source)
	}
	// One ruleset for files and network: a second one would take the right to rename
	// between directories away, which must be granted by each.
	if err := landlock.V5.BestEffort().Restrict(landlock.RWDirs(dirs...).WithRefer()); err != nil {
		return fmt.Errorf("confine to the project: %w", err)
	}
	// It starts nothing, opens no socket and touches no other process.
	return calls.Restrict(calls.Options{Serve: true})
}
