package cli

import (
	"fmt"
	"path/filepath"

	"github.com/belljar-dev/belljar"
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
		Args: cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usage(fmt.Errorf("unknown command %q", args[0]), "see belljar policy --help")
			}
			return c.Help()
		},
	}
	c.AddCommand(a.policyCheck(), a.policyShow(), a.policyExplain(), a.policySchema(), a.policyDiff())
	return c
}

// policyHere is the policy that a run of command here would have.
func (a *App) policyHere(h *host, f *planFlags, agent string) (*policy.Policy, string, error) {
	o := plan.GatherOptions{
		Env: h.env, Home: h.home, Dir: h.cwd, StateDir: h.dirs.State, RuntimeDir: h.dirs.Runtime, ConfigDir: h.dirs.Config, Identity: h.identity(),
	}
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
	return policy.Load(policy.LoadOptions{
		PolicyFile: h.abs(file), Env: h.lookup, Home: h.home, Dir: h.cwd,
		Dirs: []string{h.dirs.State, h.dirs.Runtime, h.dirs.Config}, Tiers: a.tierNames(),
	})
}

func (a *App) policyShow() *cobra.Command {
	var f planFlags
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
			b, err := p.YAML()
			if err != nil {
				return err
			}
			_, err = a.Out.Write(b)
			return err
		},
	}
	f.add(c)
	return c
}

func (a *App) policyExplain() *cobra.Command {
	var f planFlags
	var asJSON bool
	var command string
	c := &cobra.Command{
		Use:   "explain [flags] KIND SUBJECT",
		Short: "say what the policy means for one path, host, limit or variable",
		Long: `KIND is path, host, limit or env. Answers with the verdict, the layer, the file and
the line that decided, and what would change it.
`,
		Example: "  belljar policy explain host api.github.com:443\n  belljar policy explain path .git/hooks/pre-commit",
		Args:    exactly(cobra.ExactArgs(2)),
		RunE: func(c *cobra.Command, args []string) error {
			h, err := a.enter(f.paths()...)
			if err != nil {
				return err
			}
			p, dir, err := a.policyHere(h, &f, command)
			if err != nil {
				return err
			}
			e, err := a.explain(p, h, dir, args[0], args[1])
			if err != nil {
				return err
			}
			if asJSON {
				return a.printJSON(e)
			}
			a.printExplanation(&e)
			return nil
		},
	}
	f.add(c)
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	c.Flags().StringVar(&command, "for", "", "explain the policy of a run of `COMMAND`")
	return c
}

// explain asks the policy; what belljar knows by itself of a path in the project
// is added.
func (a *App) explain(p *policy.Policy, h *host, dir, kind, subject string) (policy.Explanation, error) {
	if kind != "path" {
		return p.Explain(kind, subject)
	}
	abs := h.abs(subject)
	rel, err := filepath.Rel(dir, abs)
	if err != nil || !filepath.IsLocal(rel) {
		return p.Explain(kind, abs)
	}
	mode, _ := p.Mode()
	return explainFile(p, mode, rel)
}

func (a *App) printExplanation(e *policy.Explanation) {
	fmt.Fprintf(a.Out, "%s %s: %s\n", e.Kind, terminal.Escape(e.Subject), e.Verdict)
	fmt.Fprintf(a.Out, "  %s\n", terminal.Escape(e.Reason))
	show := func(what string, o *belljar.Origin) {
		if o == nil {
			return
		}
		at := o.Layer
		if o.File != "" {
			at += " " + terminal.Escape(o.File)
		}
		if o.Line > 0 {
			at += fmt.Sprintf(":%d", o.Line)
		}
		fmt.Fprintf(a.Out, "  %s: %s (%s)\n", what, terminal.Escape(o.Text), at)
	}
	show("rule", e.Rule)
	show("nearest rule", e.Nearest)
	if e.Fix != "" {
		fmt.Fprintf(a.Out, "  to change it: %s\n", terminal.Escape(e.Fix))
	}
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
