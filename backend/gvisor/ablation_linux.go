//go:build ablation

package gvisor

import (
	"context"

	"github.com/google/subcommands"
	"gvisor.dev/gvisor/runsc/cmd/sentry/sentrycmd"
	"gvisor.dev/gvisor/runsc/cmd/util"
	"gvisor.dev/gvisor/runsc/config"
	"gvisor.dev/gvisor/runsc/flag"

	"github.com/belljar-dev/belljar/internal/ablate"
)

// bootCommand is gVisor's sub-command; without the layer the sentry installs no filter.
func bootCommand() util.SubCommand { return &unfiltered{new(sentrycmd.Boot)} }

type unfiltered struct{ *sentrycmd.Boot }

// Execute implements subcommands.Command.
func (u *unfiltered) Execute(ctx context.Context, f *flag.FlagSet, args ...any) subcommands.ExitStatus {
	if c, ok := args[0].(*config.Config); ok && ablate.Off(ablate.Filter) {
		c.DisableSeccomp = true
	}
	return u.Boot.Execute(ctx, f, args...)
}
