package cli

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/plan"
	"github.com/belljar-dev/belljar/policy"
	"github.com/belljar-dev/belljar/terminal"
	"github.com/spf13/cobra"
	"golang.org/x/term"
)

func (a *App) trustCommand() *cobra.Command {
	var yes, revoke bool
	c := &cobra.Command{
		Use:     "trust [flags] [DIR]",
		Short:   "let a project's belljar.yaml widen your policy",
		GroupID: "policy",
		Long: `A project's belljar.yaml may only tighten what you allow. This command shows the file
and, in plain words, what it would do with your credentials. When you agree, the file
may widen too, as it is now: a changed file must be trusted again. Without a terminal
it refuses, but for --yes. --revoke takes trust back.
Without DIR, the project here.
`,
		Args: exactly(cobra.MaximumNArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			h, err := a.enter(args...)
			if err != nil {
				return err
			}
			dir, err := a.trustedDir(h, first(args))
			if err != nil {
				return err
			}
			t, err := policy.OpenTrust(h.dirs.State)
			if err != nil {
				return err
			}
			if revoke {
				if err := t.Revoke(dir); err != nil {
					return err
				}
				a.note("%s is not trusted", terminal.Escape(dir))
				return nil
			}
			return a.trust(h, t, dir, yes)
		},
	}
	c.Flags().BoolVar(&yes, "yes", false, "do not ask")
	c.Flags().BoolVar(&revoke, "revoke", false, "forget that the project was trusted")
	c.MarkFlagsMutuallyExclusive("yes", "revoke")
	return c
}

// trustedDir is the real path of the project in dir, or of the one here.
func (a *App) trustedDir(h *host, dir string) (string, error) {
	if dir == "" {
		return plan.FindWorkspace(h.gatherOptions())
	}
	real, err := filepath.EvalSymlinks(h.abs(dir))
	if err != nil {
		return "", &belljar.Error{Op: "trust", ID: dir, Kind: belljar.KindUsage, Err: err, Hint: "name the project's folder"}
	}
	return real, nil
}

func (a *App) trust(h *host, t *policy.Trust, dir string, yes bool) error {
	file := filepath.Join(dir, "belljar.yaml")
	b, hash, err := policy.ReadProject(file)
	if err != nil {
		return &belljar.Error{Op: "trust", ID: file, Kind: belljar.KindUsage, Err: err, Hint: "there is nothing to trust without a belljar.yaml"}
	}
	fmt.Fprintf(a.Err, "%s\n\n%s\n", terminal.Escape(file), terminal.EscapeText(string(b)))
	given, err := policy.GivenAway(policy.LoadOptions{
		UserFile: filepath.Join(h.dirs.Config, "policy.yaml"), ProjectFile: file, Env: h.lookup, Home: h.home, Dir: h.cwd, Workspace: dir,
		Dirs: []string{h.dirs.State, h.dirs.Runtime, h.dirs.Config}, Tiers: a.tierNames(),
	}, hash)
	if err != nil {
		return err
	}
	if len(given) > 0 {
		fmt.Fprintf(a.Err, "belljar: warning: once it is trusted, this file\n")
		for _, line := range given {
			fmt.Fprintf(a.Err, "  - %s\n", terminal.Escape(line))
		}
		fmt.Fprintln(a.Err)
	}
	if !yes {
		if err := a.confirm("let this file widen what you allow in " + terminal.Escape(dir) + "? [y/N] "); err != nil {
			return err
		}
	}
	if err := t.Trust(dir, hash); err != nil {
		return err
	}
	a.note("trusted until the file changes; belljar trust --revoke takes it back")
	return nil
}

// confirm asks on the terminal; no terminal is no.
func (a *App) confirm(question string) error {
	refused := &belljar.Error{Op: "trust", Kind: belljar.KindRefused, Err: errors.New("nobody agreed"), Hint: "answer y on a terminal, or say --yes"}
	if !term.IsTerminal(int(a.In.Fd())) {
		return refused
	}
	fmt.Fprint(a.Err, question)
	var answer string
	if _, err := fmt.Fscanln(a.In, &answer); err != nil || answer != "y" && answer != "yes" {
		return refused
	}
	return nil
}
