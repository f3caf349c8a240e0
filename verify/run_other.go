//go:build !linux

package verify

import (
	"context"
	"errors"

	"github.com/belljar-dev/belljar"
)

// Run builds both worlds, attacks in both and merges what they saw. The error says
// that nothing could be proved.
func Run(context.Context, Options) (*Report, error) { return nil, notHere() }

// World plays the part of a world's first process.
func World(context.Context, Launcher) error { return notHere() }

// Reexec plays the attacker, or a part of a world, when args says so.
func Reexec([]string) bool { return false }

func notHere() error {
	return &belljar.Error{Op: "verify", Kind: belljar.KindNotHere, Err: errors.New("this system has no tier yet"), Hint: "belljar runs sandboxes on Linux"}
}
