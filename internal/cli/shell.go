package cli

import (
	"cmp"
	"errors"

	"github.com/belljar-dev/belljar/internal/rootid"
	"github.com/spf13/cobra"
)

// shellInside is the user's own shell, as a login shell, where the sandbox has it.
var shellInside = []string{"/bin/sh", "-c", `exec "${SHELL:-/bin/sh}" -l`}

func (a *App) shellCommand() *cobra.Command {
	var f planFlags
	c := &cobra.Command{
		Use:     "shell [flags] [NAME]",
		Short:   "a shell under glass, or in a running sandbox",
		GroupID: "run",
		Long: `Runs your shell ($SHELL, else /bin/sh): in the running sandbox NAME as a login shell beside
what runs there, as exec does; without NAME in a new sandbox of this project, as run does
and with its flags.
` + exitStatus,
		Example: "  belljar shell\n  belljar shell quiet-otter\n  belljar shell --mode review",
		Args:    exactly(cobra.MaximumNArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				if err := a.checkName(c, f.name); err != nil {
					return err
				}
				return a.run(c.Context(), &f, []string{hostShell()})
			}
			if c.Flags().NFlag() > 0 {
				return usage(errors.New("flags are for a new sandbox, and "+args[0]+" is one that runs"), "leave them out; belljar exec has flags of its own")
			}
			return a.exec(c.Context(), &execFlags{}, args[0], shellInside)
		},
	}
	f.add(c)
	c.ValidArgsFunction = a.completeRunning
	return c
}

// hostShell is the caller's shell.
func hostShell() string {
	h := &host{env: rootid.Environ()}
	return cmp.Or(h.getenv("SHELL"), "/bin/sh")
}
