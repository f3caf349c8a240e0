package cli

import (
	"bytes"
	"encoding/json"

	"github.com/belljar-dev/belljar/plan"
	"github.com/belljar-dev/belljar/terminal"
	"github.com/spf13/cobra"
)

func (a *App) planCommand() *cobra.Command {
	var f planFlags
	var asJSON bool
	c := &cobra.Command{
		Use:     "plan [flags] [--] [COMMAND [ARG…]]",
		Short:   "show exactly what a run would be given",
		GroupID: "policy",
		Long: `Prints the plan of a run without starting anything: mounts, hidden and held names,
network rules, limits, environment, and what enforces each on this host. Takes the
flags of belljar run. Without COMMAND, the plan of a shell.
`,
		RunE: func(c *cobra.Command, args []string) error {
			if err := a.checkName(c, f.name); err != nil {
				return err
			}
			if len(args) == 0 {
				args = []string{defaultShell}
			}
			h, err := a.enter(f.paths()...)
			if err != nil {
				return err
			}
			f.look = true
			p, err := a.prepare(c.Context(), h, &f, args)
			if err != nil {
				return err
			}
			if asJSON {
				return a.printJSON(p.public)
			}
			for _, n := range p.notes {
				a.note("%s", terminal.Escape(n))
			}
			return plan.Print(a.Out, p.public)
		},
	}
	f.add(c)
	c.Flags().SetInterspersed(false)
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// printJSON prints v. What came from inside stays harmless in a terminal.
func (a *App) printJSON(v any) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return err
	}
	_, err := a.Out.Write(terminal.EscapeJSON(nil, b.Bytes()))
	return err
}
