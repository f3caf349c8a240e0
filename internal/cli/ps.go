package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/belljar-dev/belljar/api"
	"github.com/belljar-dev/belljar/event"
	"github.com/belljar-dev/belljar/plan"
	"github.com/belljar-dev/belljar/sandbox"
	"github.com/belljar-dev/belljar/terminal"
	"github.com/belljar-dev/belljar/workspace"
	"github.com/spf13/cobra"
)

func (a *App) psCommand() *cobra.Command {
	var asJSON, all bool
	c := &cobra.Command{
		Use:     "ps",
		Short:   "list the sandboxes, and what they do now",
		GroupID: "run",
		Long: `Lists the sandboxes that run, and detached ones that ended where changes to the project still
wait, and kept ones, which belljar start starts again. CPU is the processor time used, REFUSED counts connections, requests and programs, ASKS
questions (belljar approve), NOW is the command that was executed last.
`,
		Args: exactly(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error { return a.ps(c.Context(), all, asJSON) },
	}
	c.Flags().BoolVarP(&all, "all", "a", false, "all detached ones that ended, whose output is kept")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// A listed sandbox.
type listed struct {
	ID        string    `json:"id"`
	Name      string    `json:"name"`
	State     string    `json:"state"` // starting, warm, running, ending, ended, killed, silent, kept
	Started   time.Time `json:"started"`
	Ended     time.Time `json:"ended,omitzero"`
	Tier      string    `json:"tier"`
	Workspace string    `json:"workspace"`
	Argv      []string  `json:"argv"`
	Detached  bool      `json:"detached"`
	Kept      bool      `json:"kept"` // belljar start starts it again
	Viewers   int       `json:"viewers"`
	CPUMillis int64     `json:"cpu_millis"`
	Memory    int64     `json:"memory"`
	Processes int       `json:"processes"`
	Refused   int       `json:"refused"`
	Waiting   int       `json:"waiting"` // questions
	Held      int       `json:"held"`    // changes that wait in the project, of one that ended
	Doing     string    `json:"doing"`   // comes from inside
	Status    *int      `json:"status,omitempty"`
}

func (a *App) ps(ctx context.Context, all, asJSON bool) error {
	h, err := a.enter()
	if err != nil {
		return err
	}
	a.sweep(h)
	runs, err := h.dirs.Runs()
	if err != nil {
		return err
	}
	recipes, err := h.dirs.Recipes()
	if err != nil {
		a.note("what a sandbox is started from cannot be read: %s; keep it again, or belljar rm it", terminal.Escape(err.Error()))
	}
	w := waitCounter{h: h, held: map[string]int{}}
	list := runningNow(ctx, runs)
	for _, r := range recipes {
		if i := slices.IndexFunc(list, func(l listed) bool { return l.Name == r.Name && l.Workspace == r.Workspace && l.State != stateKept }); i >= 0 {
			list[i].Kept = true
			continue
		}
		list = append(list, keptOne(w, r))
	}
	list = append(list, endedOnes(w, list, all)...)
	if asJSON {
		return a.printJSON(list)
	}
	if len(list) == 0 {
		a.note("no sandbox runs")
		return nil
	}
	return table(a.Out, "NAME\tSTATE\tAGE\tTIER\tCPU\tMEMORY\tREFUSED\tASKS\tNOW", func(w io.Writer) {
		for _, l := range list {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%d\t%d\t%s\n", terminal.Escape(l.Name), l.shownState(), age(time.Since(l.Started)), terminal.Escape(l.Tier),
				(time.Duration(l.CPUMillis) * time.Millisecond).Round(10*time.Millisecond), size(l.Memory), l.Refused, l.Waiting, shorten(l.now(), 60))
		}
	})
}

// askWait bounds what a supervisor takes to say what it does.
const askWait = 3 * time.Second

// runningNow asks the sandboxes that run, all at once.
func runningNow(ctx context.Context, runs []sandbox.Entry) []listed {
	ctx, cancel := context.WithTimeout(ctx, askWait)
	defer cancel()
	out := make([]listed, len(runs))
	var all sync.WaitGroup
	for i, e := range runs {
		out[i] = listed{ID: e.ID, Name: e.Name, State: "silent", Started: e.Started, Tier: e.Tier, Workspace: e.Workspace, Argv: e.Argv, Detached: e.Detached}
		all.Go(func() {
			s, err := e.Control().Status(ctx)
			if err != nil {
				return
			}
			l := &out[i]
			switch s.State {
			case api.Starting, api.Warm, api.Running, api.Ending:
				l.State = string(s.State)
			}
			l.CPUMillis, l.Memory, l.Processes = s.Usage.CPU.Milliseconds(), s.Usage.Memory, s.Usage.Processes
			l.Refused, l.Waiting, l.Doing, l.Viewers = s.Refused, s.Waiting, s.Doing, s.Viewers
		})
	}
	all.Wait()
	return out
}

const stateKept = "kept"

// keptOne is a kept sandbox that does not run, with what its last run was.
func keptOne(w waitCounter, r sandbox.Recipe) listed {
	l := listed{ID: r.ID, Name: r.Name, State: stateKept, Started: r.Made, Workspace: r.Workspace, Argv: r.Argv, Kept: true}
	i, err := event.Find(w.h.dirs.State, r.ID)
	if err != nil || i.Start == nil || i.ID != r.ID {
		return l
	}
	l.Started, l.Ended, l.Tier = i.Time, i.EndAt, i.Start.Tier
	if i.End != nil {
		l.Status = &i.End.Status
	}
	if i.End == nil || i.End.Held > 0 {
		l.Held = w.waiting(l.Workspace)
	}
	return l
}

// A waitCounter counts what waits in projects, each once.
type waitCounter struct {
	h    *host
	held map[string]int
}

func (w waitCounter) waiting(project string) int {
	n, known := w.held[project]
	if !known {
		p := workspace.Project{Dir: project, Shadow: filepath.Join(plan.ProjectDir(w.h.dirs.State, project), "shadow")}
		changes, _ := p.Pending() // belljar diff tells what is wrong with it
		n = len(changes)
		w.held[project] = n
	}
	return n
}

// endedOnes are detached sandboxes that ended: those in whose project something waits, or
// all whose output is kept. Those that are told of already are left out.
func endedOnes(w waitCounter, told []listed, all bool) []listed {
	h := w.h
	names, _ := os.ReadDir(filepath.Dir(h.dirs.Output("x"))) // there is none: nothing was detached
	out := []listed{}
	for _, n := range names {
		if slices.ContainsFunc(told, func(l listed) bool { return l.ID == n.Name() }) {
			continue
		}
		i, err := event.Find(h.dirs.State, n.Name())
		if err != nil || i.Start == nil || i.ID != n.Name() {
			continue
		}
		l := listed{ID: i.ID, Name: i.Name, State: "killed", Started: i.Time, Ended: i.EndAt, Tier: i.Start.Tier, Workspace: i.Start.Workspace, Argv: i.Start.Argv, Detached: true}
		if i.End != nil {
			l.State, l.Status = "ended", &i.End.Status
		}
		if i.End == nil || i.End.Held > 0 {
			l.Held = w.waiting(l.Workspace)
		}
		if all || l.Held > 0 {
			out = append(out, l)
		}
	}
	return out
}

func (l *listed) shownState() string {
	if l.Status != nil && l.State == stateKept {
		return fmt.Sprintf("%s (%d)", stateKept, *l.Status)
	}
	if l.Status != nil {
		return fmt.Sprintf("ended (%d)", *l.Status)
	}
	return l.State
}

// now is what is told of it last. It holds no control characters.
func (l *listed) now() string {
	switch {
	case l.Held > 0:
		return fmt.Sprintf("%d changes wait: belljar diff %s", l.Held, terminal.Escape(l.Name))
	case l.State == string(api.Warm):
		return "waits for belljar run"
	case l.Doing != "":
		return terminal.Escape(l.Doing)
	case l.State == stateKept:
		return "belljar start " + terminal.Escape(l.Name)
	}
	return terminal.Escape(strings.Join(l.Argv, " "))
}

// shorten is at most n characters of s.
func shorten(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}

// age is d in its largest unit.
func age(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}

// size is a number of bytes, for people.
func size(n int64) string {
	switch {
	case n < 1<<10:
		return fmt.Sprintf("%dB", n)
	case n < 1<<20:
		return fmt.Sprintf("%.1fKiB", float64(n)/(1<<10))
	case n < 1<<30:
		return fmt.Sprintf("%.1fMiB", float64(n)/(1<<20))
	}
	return fmt.Sprintf("%.1fGiB", float64(n)/(1<<30))
}
