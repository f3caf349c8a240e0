package cli

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/belljar-dev/belljar/event"
	"github.com/belljar-dev/belljar/policy"
	"github.com/belljar-dev/belljar/terminal"
	"github.com/spf13/cobra"
)

// maxOffered bounds what a shell is offered at once.
const maxOffered = 50

type completer = func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective)

// offer completes a flag or a word from a list that is known.
func offer(words ...string) completer {
	return cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp)
}

// completeFlags tells the shell what the flags take that make a plan, of c and all
// commands below.
func (a *App) completeFlags(c *cobra.Command) {
	for _, sub := range c.Commands() {
		a.completeFlags(sub)
	}
	if c.Flags().Lookup("mode") == nil {
		return
	}
	for flag, f := range map[string]completer{
		"mode": offer("live", "worktree", "review", "readonly"),
		"tier": offer(append([]string{"auto"}, a.tierNames()...)...),
		"preset": func(c *cobra.Command, args []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
			return offer(presetNames()...)(c, args, word) // reading the presets takes its time
		},
		"workspace": func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveFilterDirs
		},
	} {
		_ = c.RegisterFlagCompletionFunc(flag, f) // an error is a flag that is not there
	}
	if strings.Contains(c.Use, "COMMAND") {
		c.ValidArgsFunction = completeCommand
	}
}

func presetNames() []string {
	var out []string
	for _, p := range policy.Presets() {
		out = append(out, p.Name)
	}
	return out
}

// completeCommand offers the programs on PATH, then files.
func completeCommand(_ *cobra.Command, args []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 || word == "" || strings.ContainsRune(word, filepath.Separator) {
		return nil, cobra.ShellCompDirectiveDefault
	}
	return programs(word), cobra.ShellCompDirectiveDefault
}

// programs are the names on PATH that begin with prefix, sorted.
func programs(prefix string) []string {
	literal := strings.NewReplacer("*", `\*`, "?", `\?`, "[", `\[`, `\`, `\\`).Replace(prefix)
	var out []string
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		found, _ := filepath.Glob(filepath.Join(dir, literal+"*")) // its only error is a bad pattern
		for _, p := range found {
			if fi, err := os.Stat(p); err == nil && fi.Mode().IsRegular() && fi.Mode()&0o111 != 0 {
				out = append(out, filepath.Base(p))
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// completeNames offers the sandboxes on record, the newest first; behind them, or
// where there is none, the shell's own files when the command takes paths.
func (a *App) completeNames(paths bool) completer {
	return func(_ *cobra.Command, args []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
		then := cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
		if paths {
			then = cobra.ShellCompDirectiveDefault
		}
		if len(args) > 0 {
			return nil, then
		}
		h, err := a.enter()
		if err != nil {
			return nil, then
		}
		infos, _ := event.List(h.dirs.State) // none is no completion
		var out []cobra.Completion
		seen := map[string]bool{}
		for _, i := range slices.Backward(infos) {
			if i.Start == nil || i.Untaken || seen[i.Name] || !strings.HasPrefix(i.Name, word) || terminal.Escape(i.Name) != i.Name {
				continue
			}
			seen[i.Name] = true
			if out = append(out, cobra.CompletionWithDesc(i.Name, shortened(event.Command(i.Start.Argv)))); len(out) == maxOffered {
				break
			}
		}
		return out, then
	}
}
