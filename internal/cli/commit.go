package cli

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/event"
	"github.com/belljar-dev/belljar/plan"
	"github.com/belljar-dev/belljar/terminal"
	"github.com/belljar-dev/belljar/workspace"
)

// commitOptions are the identity of the user, and the agent as co-author: the program
// of the newest sandbox of the project, or of the one that was named.
func (a *App) commitOptions(t *target, message string) (workspace.CommitOptions, error) {
	h := t.host
	user, err := plan.FindGitUser(plan.GatherOptions{
		Env: h.env, Home: h.home, Dir: h.cwd, StateDir: h.dirs.State, RuntimeDir: h.dirs.Runtime, ConfigDir: h.dirs.Config, Identity: h.identity(),
	}, t.Dir)
	if err != nil {
		return workspace.CommitOptions{}, err
	}
	o := workspace.CommitOptions{Name: user.Name, Email: user.Email, Time: time.Now()}
	if o.Name == "" || o.Email == "" {
		return o, &belljar.Error{Op: "commit", ID: t.Dir, Kind: belljar.KindUsage, Err: errors.New("your git settings have no name and email"),
			Hint: "git config --global user.name NAME; git config --global user.email EMAIL"}
	}
	infos, err := event.List(h.dirs.State)
	if err != nil {
		return o, err
	}
	agent, sandbox := "", ""
	for _, i := range slices.Backward(infos) {
		if i.Start != nil && !i.Untaken && i.Start.Workspace == t.Dir && len(i.Start.Argv) > 0 && (t.name == "" || i.Name == t.name) {
			agent, sandbox = plainWord(path.Base(i.Start.Argv[0])), plainWord(i.Name)
			break
		}
	}
	o.Message = cmp.Or(message, fmt.Sprintf("Apply what %s changed", cmp.Or(agent, "a sandbox")))
	if agent != "" {
		o.Message = strings.TrimRight(o.Message, "\n") + fmt.Sprintf("\n\nCo-authored-by: %s <%s@%s.belljar>", agent, agent, cmp.Or(sandbox, "sandbox"))
	}
	return o, nil
}

// plainWord keeps what a name in a commit may hold.
func plainWord(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' || r == '.' {
			return r
		}
		return -1
	}, s)
}

func (a *App) printCommit(c workspace.Commit, ok bool) {
	for _, p := range slices.Sorted(maps.Keys(c.Skipped)) {
		fmt.Fprintf(a.Out, "not committed %s: %s\n", terminal.Escape(p), terminal.Escape(c.Skipped[p]))
	}
	switch {
	case c.ID != "":
		fmt.Fprintf(a.Out, "committed %s on %s\n", c.ID[:12], terminal.Escape(c.Branch))
	case ok:
		a.note("nothing to commit")
	}
}
