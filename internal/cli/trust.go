package cli

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/policy"
	"github.com/belljar-dev/belljar/terminal"
	"github.com/spf13/cobra"
	"golang.org/x/term"
)

func (a *App) trustCommand() *cobra.Command {
	var yes bool
	c := &cobra.Command{
		Use:     "trust [DIR]",
		Short:   "let a project's belljar.yaml widen your policy",
		GroupID: "policy",
		Long: `A project's belljar.yaml may only tighten what you allow. This command shows the file
and, when you agree, lets it widen too, as it is now: a changed file must be trusted
again. Without a terminal it refuses, but for --yes.
`,
		Args: exactly(cobra.MaximumNArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			return a.trust(first(args), yes)
		},
	}
	c.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return c
}

func (a *App) trust(dir string, yes bool) error {
	if dir == "" {
		dir = "."
	}
	h, err := a.enter(dir)
	if err != nil {
		return err
	}
	real, err := filepath.EvalSymlinks(h.abs(dir))
	if err != nil {
		return &belljar.Error{Op: "trust", ID: dir, Kind: belljar.KindUsage, Err: err, Hint: "name the project's folder"}
	}
	file := filepath.Join(real, "belljar.yaml")
	b, hash, err := policy.ReadProject(file)
	if err != nil {
		return &belljar.Error{Op: "trust", ID: file, Kind: belljar.KindUsage, Err: err, Hint: "there is nothing to trust without a belljar.yaml"}
	}
	fmt.Fprintf(a.Err, "%s\n\n%s\n", terminal.Escape(file), terminal.EscapeText(string(b)))
	if !yes {
		if err := a.confirm("let this file widen what you allow in " + terminal.Escape(real) + "? [y/N] "); err != nil {
			return err
		}
	}
	t, err := policy.OpenTrust(h.dirs.State)
	if err != nil {
		return err
	}
	if err := t.Trust(real, hash); err != nil {
		return err
	}
	a.note("trusted until the file changes")
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
