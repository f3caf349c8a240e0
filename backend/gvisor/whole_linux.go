//go:build !ablation

package gvisor

import (
	"gvisor.dev/gvisor/runsc/cmd/sentry/sentrycmd"
	"gvisor.dev/gvisor/runsc/cmd/util"
)

// bootCommand is gVisor's sub-command.
func bootCommand() util.SubCommand { return new(sentrycmd.Boot) }
