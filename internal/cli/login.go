package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/credential/login"
	"github.com/belljar-dev/belljar/keeper"
	"github.com/belljar-dev/belljar/terminal"
	"github.com/spf13/cobra"
)

func (a *App) loginCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "login AGENT",
		Short:   "say whether a run can use an agent's login on this host",
		GroupID: "policy",
		Long: `An agent that you have logged in on this host with a subscription works inside
without being logged in again: its access token goes into requests outside, the
sandbox finds stand-ins where the agent keeps its login. Says for claude or codex
whether there is such a login and how long its access token is good. Providers let
only their own programs log in with a subscription: where there is none, the
agent's own command that makes one is named.
`,
		Example: "  belljar login claude",
		Args:    exactly(cobra.ExactArgs(1)),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
			return login.Names(), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(_ *cobra.Command, args []string) error { return a.login(args[0]) },
	}
}

func (a *App) login(name string) error {
	if why, instead := login.Refused(name); why != "" {
		return &belljar.Error{Op: "use the login of", ID: name, Kind: belljar.KindRefused, Err: errors.New(why), Hint: instead}
	}
	k := login.Find(name)
	if k == nil {
		return usage(fmt.Errorf("no login of %q is known", name), "there is: "+strings.Join(login.Names(), ", "))
	}
	h, err := a.enter()
	if err != nil {
		return err
	}
	file := k.Path(h.home, h.getenv)
	t, err := keeper.Look(k, file)
	var unfit *keeper.UnfitError
	if errors.As(err, &unfit) {
		return &belljar.Error{Op: "use the login of", ID: name, Kind: belljar.KindNotHere, Err: err, Hint: "a run does not use it either, until that is mended"}
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = errors.New("there is none on this host (" + file + ")")
	}
	if err != nil {
		return &belljar.Error{
			Op: "use the login of", ID: name, Kind: belljar.KindNotHere, Err: err,
			Hint: "log in with " + k.Command + ", outside: " + k.Why,
		}
	}
	good := "is good until somebody replaces it"
	switch now := time.Now(); {
	case t.Expires.IsZero():
	case now.Before(t.Expires):
		good = "is good until " + t.Expires.Local().Format(time.DateTime)
	default:
		good = "has expired, and is replaced by the next run that needs it"
	}
	fmt.Fprintf(a.Out, "%s: belljar uses the login in %s; its access token %s\n", name, terminal.Escape(file), good)
	if i := slices.IndexFunc(k.Variables, func(v string) bool { return h.getenv(v) != "" }); i >= 0 {
		a.note("%s is set here: %s uses that key, and not the login", k.Variables[i], name)
	}
	return nil
}
