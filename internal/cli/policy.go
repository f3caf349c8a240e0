package cli

import (
	"fmt"
	"path/filepath"

	"github.com/belljar-dev/belljar/plan"
	"github.com/belljar-dev/belljar/policy"
	"github.com/belljar-dev/belljar/terminal"
	"github.com/spf13/cobra"
)

func (a *App) policyCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "policy",
		Short:   "check, show, explain and compare policies",
		GroupID: "policy",
		Long: `Works on the policy that applies here: presets, your own file, the project's
belljar.yaml and flags, under the organisation's ceiling.
`,
	}
	onlyCommands(c)
	c.AddCommand(a.policyCheck(), a.policyShow(), a.policyExplain(), a.policySchema(), a.policyDiff(), a.policyLearn())
	return c
}

// gatherOptions are what a plan made here begins with.
func (h *host) gatherOptions() plan.GatherOptions {
	return plan.GatherOptions{
		Env: h.env, Home: h.home, Dir: h.cwd, StateDir: h.dirs.State, RuntimeDir: h.dirs.Runtime, ConfigDir: h.dirs.Config, Identity: h.identity(),
	}
}

// policyHere is the policy that a run of command here would have.
func (a *App) policyHere(h *host, f *planFlags, agent string) (*policy.Policy, string, error) {
	o := h.gatherOptions()
	if f.workspace != "" {
		o.Workspace = h.abs(f.workspace)
	}
	dir, err := plan.FindWorkspace(o)
	if err != nil {
		return nil, "", err
	}
	p, err := a.loadPolicy(h, f, dir, agent)
	return p, dir, err
}

func (a *App) policyCheck() *cobra.Command {
	return &cobra.Command{
		Use:   "check [FILE]",
		Short: "check a policy file, or all layers that apply here",
		Args:  exactly(cobra.MaximumNArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			f := planFlags{policyFile: first(args)}
			h, err := a.enter(f.paths()...)
			if err != nil {
				return err
			}
			if f.policyFile == "" {
				_, _, err = a.policyHere(h, &f, "")
			} else {
				_, err = a.loadFile(h, f.policyFile)
			}
			if err == nil {
				a.note("no fault found")
			}
			return err
		},
	}
}

// loadFile loads one policy file for itself.
func (a *App) loadFile(h *host, file string) (*policy.Policy, error) {
	o := a.policyOptions(h)
	o.PolicyFile = h.abs(file)
	return policy.Load(o)
}

// policyOptions are what every load needs, and no file.
func (a *App) policyOptions(h *host) policy.LoadOptions {
	return policy.LoadOptions{
		Env: h.lookup, Home: h.home, Dir: h.cwd,
		Dirs: []string{h.dirs.State, h.dirs.Runtime, h.dirs.Config}, Tiers: a.tierNames(),
	}
}

// userOptions are policyOptions with this user's policy and the organisation's.
func (a *App) userOptions(h *host) policy.LoadOptions {
	o := a.policyOptions(h)
	o.UserFile, o.CeilingFile = filepath.Join(h.dirs.Config, "policy.yaml"), ceilingFile
	return o
}

func (a *App) policyShow() *cobra.Command {
	var f planFlags
	var asJSON bool
	c := &cobra.Command{
		Use:   "show [flags] [COMMAND]",
		Short: "print the merged policy, every value with its origin",
		Args:  exactly(cobra.MaximumNArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			h, err := a.enter(f.paths()...)
			if err != nil {
				return err
			}
			p, _, err := a.policyHere(h, &f, first(args))
			if err != nil {
				return err
			}
			if asJSON {
				return a.printJSON(p.Shown())
			}
			b, err := p.YAML()
			if err != nil {
				return err
			}
			_, err = a.Out.Write(b)
			return err
		},
	}
	f.add(c)
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func (a *App) policySchema() *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "print the JSON schema of policy files",
		Args:  exactly(cobra.NoArgs),
		RunE: func(c *cobra.Command, args []string) error {
			b, err := policy.Schema()
			if err != nil {
				return err
			}
			_, err = a.Out.Write(b)
			return err
		},
	}
}

func (a *App) policyDiff() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "diff OLD NEW",
		Short: "list exactly what NEW makes possible, and impossible, compared with OLD",
		Args:  exactly(cobra.ExactArgs(2)),
		RunE: func(c *cobra.Command, args []string) error {
			h, err := a.enter(args...)
			if err != nil {
				return err
			}
			older, err := a.loadFile(h, args[0])
			if err != nil {
				return err
			}
			newer, err := a.loadFile(h, args[1])
			if err != nil {
				return err
			}
			changes := policy.Diff(older, newer)
			if asJSON {
				return a.printJSON(append([]policy.Change{}, changes...)) // never null
			}
			for _, ch := range changes {
				fmt.Fprintln(a.Out, terminal.Escape(ch.String()))
			}
			return nil
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}
