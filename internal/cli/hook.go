package cli

import (
	"io"
	"strings"

	"github.com/belljar-dev/belljar/internal/agenthook"
	"github.com/belljar-dev/belljar/judge"
	"github.com/spf13/cobra"
)

const hookLong = `Answers an agent's hook outside of a sandbox, by the policy here: reads what the agent tells its
hook before it runs a shell line from standard input, judges the line as belljar judge does, and
prints the answer in the agent's format; nothing where the line may run, so that the agent's own
permissions decide. What has to be asked is asked by claude itself; the others are told no.

Inside a sandbox no setting is needed: where the policy has rules for commands, belljar run
installs the hooks of the known agents, read-only, and lines that have to be asked wait for
belljar approve.

A hook is never the boundary: the agent may leave it out. What holds is the sandbox.

EXIT STATUS
  0 whatever the verdict, also when the policy cannot be read: then it is no; 2
  wrong usage.
`

func (a *App) hookCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "hook " + strings.Join(agenthook.Agents(), "|"),
		Short:   "answer an agent's hook before it runs a shell line",
		GroupID: "policy",
		Long:    hookLong,
		Example: "  echo '{\"tool_input\":{\"command\":\"sudo id\"}}' | belljar hook claude",
		Args: exactly(func(c *cobra.Command, args []string) error {
			if err := cobra.ExactArgs(1)(c, args); err != nil {
				return err
			}
			return cobra.OnlyValidArgs(c, args)
		}),
		ValidArgs: agenthook.Agents(),
		RunE: func(_ *cobra.Command, args []string) error {
			j, unread := a.judgeHere("") // as root this starts the program anew, which reads nothing before
			b, err := io.ReadAll(io.LimitReader(a.In, agenthook.MaxInput+1))
			if err != nil {
				return err
			}
			v := agenthook.Verdict{Reason: "what the agent told its hook could not be read"}
			if c, err := agenthook.Read(args[0], b); err == nil {
				if unread == nil {
					v = hookVerdict(j.Run(c.Line, judge.Setting{Dir: c.Dir}))
				} else {
					v.Reason = "the policy could not be read: " + unread.Error()
				}
			}
			_, err = a.Out.Write(agenthook.Answer(args[0], v))
			return err
		},
	}
}

// hookVerdict is a decision as hooks tell it.
func hookVerdict(d judge.Decision) agenthook.Verdict {
	if d.Verdict == judge.Allow {
		return agenthook.Verdict{Allow: true}
	}
	why := d.Reason + ": " + d.Part
	if d.Rule != "" {
		why = d.Reason + " (rule " + d.Rule + "): " + d.Part
	}
	if d.Verdict == judge.Ask {
		return agenthook.Verdict{Ask: true, Reason: "it has to be asked first: " + why}
	}
	return agenthook.Verdict{Reason: why}
}
