// Package cli is the command line: words in, exit status out.
//
// Every command is one file: a function that makes the cobra command and a
// function that does the work with the parsed words. A foreground run is the
// supervisor itself (package sandbox); every other command reads belljar's state.
// Standard output carries only what was asked for; belljar's own words go to
// standard error as "belljar: error: …" and "belljar: hint: …".
//
// # Limitations
//
// Strings that came from inside a sandbox are printed through package terminal
// only.
package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/internal/startup"
	"github.com/belljar-dev/belljar/terminal"
	"github.com/spf13/cobra"
)

// An App is one invocation: where words go and which tiers exist.
type App struct {
	In       *os.File
	Out      *os.File
	Err      *os.File
	Backends []belljar.Backend

	status  int    // exit status when no error is returned
	finally func() // called last, where it is not nil
	letGo   func() // of what the caller of a detached run left open
}

// Main runs args (without the program's name) and returns the exit status.
func (a *App) Main(ctx context.Context, args []string) int {
	startup.DelayGC(true)
	// Whatever the caller keeps from others, we have to get into our own folders.
	syscall.Umask(syscall.Umask(0o077) &^ 0o700)
	root := a.root()
	root.SetArgs(args)
	root.SetIn(a.In)
	root.SetOut(a.Out)
	root.SetErr(a.Err)
	defer func() {
		if a.finally != nil {
			a.finally()
		}
	}()
	err := root.ExecuteContext(ctx)
	if err == nil {
		return a.status
	}
	a.fail(err)
	return belljar.KindOf(err).ExitStatus()
}

// fail prints err, and its hint, once.
func (a *App) fail(err error) {
	printError(a.Err, err)
}

func printError(w io.Writer, err error) {
	lines := strings.Split(strings.TrimRight(err.Error(), "\n"), "\n")
	for i, l := range lines {
		if i == 0 {
			fmt.Fprintf(w, "belljar: error: %s\n", terminal.Escape(l))
			continue
		}
		fmt.Fprintf(w, "  %s\n", terminal.EscapeText(l))
	}
	if h := belljar.HintOf(err); h != "" {
		fmt.Fprintf(w, "belljar: hint: %s\n", terminal.Escape(h))
	}
}

func (a *App) note(format string, v ...any) {
	fmt.Fprintf(a.Err, "belljar: "+format+"\n", v...)
}

const exitStatus = `
EXIT STATUS
  The command's own; 2 wrong usage or policy; 124 time limit; 125 belljar could
  not do it; 126 refused by policy or not executable; 127 command not found;
  137 memory limit; 128+n killed by signal n.
`

func (a *App) root() *cobra.Command {
	c := &cobra.Command{
		Use:   "belljar",
		Short: "run AI agents under glass",
		Long: `belljar runs any command, above all AI coding agents, under glass: with a kernel
of its own, only the files it was given, only the hosts it was given, limits, and
a record that it cannot forge. No root, no daemon, no configuration needed.

  belljar run claude             an agent on the project you stand in
  belljar run -- make test       any command
  belljar diff                   what waits to be applied
` + exitStatus,
		Version:           belljar.Version,
		SilenceErrors:     true,
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: false},
		PersistentPreRunE: func(c *cobra.Command, _ []string) error { return emptyFlags(c) },
	}
	c.SetFlagErrorFunc(flagError)
	c.SetVersionTemplate("belljar {{.Version}}\n")
	c.AddGroup(&cobra.Group{ID: "run", Title: "Run:"}, &cobra.Group{ID: "review", Title: "Review:"}, &cobra.Group{ID: "policy", Title: "Policy:"})
	for _, sub := range a.commands() {
		c.AddCommand(sub)
	}
	a.completeFlags(c)
	onlyCommands(c)
	a.helpKnown(c)
	c.SetHelpCommand(a.helpCommand())
	c.InitDefaultCompletionCmd("completion")
	for _, sub := range c.Commands() {
		if sub.Name() == "completion" {
			sub.Short = "print the completion script for a shell"
			sub.Long = "Prints the script with which a shell completes belljar's words.\n\n  belljar completion bash --help says where it goes\n"
			sub.Use = "completion SHELL"
			onlyCommands(sub)
		}
	}
	return c
}

// helpKnown keeps --help behind a word that is no command from being help about
// something else.
func (a *App) helpKnown(root *cobra.Command) {
	help := root.HelpFunc()
	root.SetHelpFunc(func(c *cobra.Command, args []string) {
		words := c.Flags().Args()
		names := commandNames(c)
		if len(words) > 0 && len(names) > 0 && (c.Use == c.Name() || nearest(words[0], names) != "") {
			err := unknownWord(c, words[0])
			a.fail(err)
			a.status = belljar.KindOf(err).ExitStatus()
			return
		}
		help(c, args)
	})
}

func (a *App) helpCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND…]",
		Short: "say how a command is used",
		Args:  cobra.ArbitraryArgs,
		ValidArgsFunction: func(c *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
			at, _, err := c.Root().Find(args)
			if err != nil {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return commandNames(at), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(c *cobra.Command, args []string) error {
			at := c.Root()
			for _, w := range args {
				i := slices.IndexFunc(at.Commands(), func(s *cobra.Command) bool { return s.Name() == w })
				if i < 0 {
					return unknownWord(at, w)
				}
				at = at.Commands()[i]
			}
			at.InitDefaultHelpFlag()
			return at.Help()
		},
	}
}

// commands lists every word of the command line.
func (a *App) commands() []*cobra.Command {
	return []*cobra.Command{
		a.runCommand(), a.startCommand(), a.shellCommand(), a.execCommand(), a.attachCommand(),
		a.poolCommand(), a.psCommand(), a.logsCommand(), a.waitCommand(), a.stopCommand(), a.rmCommand(), a.pruneCommand(),
		a.approveCommand(), a.denyCommand(), a.allowCommand(),
		a.sshCommand(), a.sshConfigCommand(),
		a.diffCommand(), a.applyCommand(), a.discardCommand(), a.undoCommand(), a.mergeCommand(),
		a.logCommand(), a.evidenceCommand(),
		a.policyCommand(), a.planCommand(), a.trustCommand(), a.judgeCommand(), a.hookCommand(),
		a.loginCommand(), a.doctorCommand(), a.verifyCommand(), a.manCommand(),
	}
}
