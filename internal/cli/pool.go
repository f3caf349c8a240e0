package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/internal/peer"
	"github.com/belljar-dev/belljar/terminal"
	"github.com/spf13/cobra"
)

const (
	poolArgv0  = "belljar-pool"
	poolSocket = "pool"
	maxPool    = 16
)

// The words that a pool is asked with: a line each.
const (
	poolStatus = "status"
	poolStop   = "stop"
	poolClear  = "clear" // what waits is in the way of who changes what waits in the project
	poolLook   = "look"  // a run found nothing for it: is what waits still what would be made?
)

func (a *App) poolCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "pool",
		Short:   "keep started sandboxes, so that a run begins at once",
		GroupID: "run",
		Long: `Keeps sandboxes that are started and have no command yet. A foreground run whose plan is
exactly theirs takes one, without being told to: it has the same kernel, files, rules and
record as one that starts cold, and begins within milliseconds. Each is used once, and is
replaced. docs/pool.md tells which runs take one.
`,
	}
	onlyCommands(c)
	c.AddCommand(a.poolStartCommand(), a.poolLsCommand(), a.poolStopCommand())
	return c
}

func (a *App) poolStartCommand() *cobra.Command {
	var f planFlags
	number := 2
	c := &cobra.Command{
		Use:   "start [flags] [--] [COMMAND [ARG…]]",
		Short: "start a pool for a plan, and print its name",
		Long: `Starts sandboxes for runs in this project with the same flags, which are those of belljar
run, and returns when they wait. COMMAND is not run: where it is a known agent its preset
applies, and what the program needs is visible, as it is in a run of it. Without COMMAND
they are for programs of the system.
`,
		Example: "  belljar pool start -n 3 -- claude\n  belljar pool start --allow docs.example.com\n  belljar run claude",
		RunE: func(c *cobra.Command, args []string) error {
			if number < 1 || number > maxPool {
				return usage(fmt.Errorf("-n %d: there may be 1 to %d sandboxes", number, maxPool), usageLine(c))
			}
			if f.Mode == string(belljar.ModeWorktree) || f.name != "" {
				return usage(errors.New("a pool is for runs without a name and a worktree of their own"), "leave --name and --mode worktree out")
			}
			if len(args) == 0 {
				args = []string{defaultShell}
			}
			line := append(append([]string{"run"}, givenFlags(c, "number")...), "--")
			return a.poolStart(c.Context(), &f, number, append(line, args...))
		},
	}
	f.add(c)
	_ = c.Flags().MarkHidden("name") // of a run
	_ = c.Flags().MarkHidden("uncommitted")
	c.Flags().IntVarP(&number, "number", "n", number, "keep `N` sandboxes")
	c.Flags().SetInterspersed(false)
	return c
}

// poolStart starts what keeps the pool, in a session of its own.
func (a *App) poolStart(ctx context.Context, f *planFlags, number int, line []string) error {
	if filepath.Base(os.Args[0]) == poolArgv0 {
		return a.keepPool(ctx, f, number, line)
	}
	h, err := a.enter(f.paths()...)
	if err != nil {
		return err
	}
	var r poolInfo
	runs, err := a.startBehind(behind{poolArgv0, "start the pool", "a sandbox was ready", 64 << 10}, h.dirs.Runtime, &r)
	if runs {
		_, err = fmt.Fprintln(a.Out, r.ID)
	}
	return err
}

func (a *App) poolLsCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "ls",
		Short: "list the pools",
		Long:  "Lists the pools. WARM are sandboxes that wait, of so many that are kept, TAKEN those that runs took.\n",
		Args:  exactly(cobra.NoArgs),
		RunE:  func(c *cobra.Command, _ []string) error { return a.poolLs(asJSON) },
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func (a *App) poolLs(asJSON bool) error {
	h, err := a.enter()
	if err != nil {
		return err
	}
	list, err := h.pools()
	if err != nil {
		return err
	}
	if asJSON {
		return a.printJSON(list)
	}
	if len(list) == 0 {
		a.note("no pool is kept")
		return nil
	}
	return table(a.Out, "NAME\tWARM\tTAKEN\tAGE\tTIER\tPROJECT\tFOR", func(w io.Writer) {
		for _, p := range list {
			line := terminal.Escape(strings.Join(p.Line, " "))
			if p.Fault != "" {
				line += " (" + terminal.Escape(p.Fault) + ")"
			}
			fmt.Fprintf(w, "%s\t%d/%d\t%d\t%s\t%s\t%s\t%s\n", p.ID, p.Warm, p.Number, p.Taken, age(time.Since(p.Started)), terminal.Escape(p.Tier), terminal.Escape(p.Workspace), line)
		}
	})
}

// pools asks all pools what they are, the oldest first. One that does not answer is ending.
func (h *host) pools() ([]poolInfo, error) {
	ids, err := h.dirs.PoolIDs()
	list := []poolInfo{}
	for _, id := range ids {
		var p poolInfo
		b, err := h.askPool(id, poolStatus)
		if err == nil && json.Unmarshal(b, &p) == nil {
			list = append(list, p)
		}
	}
	slices.SortFunc(list, func(a, b poolInfo) int { return a.Started.Compare(b.Started) })
	return list, err
}

// poolWait bounds what a pool takes to answer, or to end what waits in it.
const poolWait = 30 * time.Second

// askPool says a word to a pool, and returns what it says until it ends the connection.
func (h *host) askPool(id, word string) ([]byte, error) {
	c, err := dialPool(h.dirs.Pool(id))
	if err != nil {
		return nil, err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(poolWait))
	if _, err := io.WriteString(c, word+"\n"); err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(c, maxWords))
}

func dialPool(dir string) (net.Conn, error) {
	at, done, err := peer.Reach(dir, poolSocket)
	if err != nil {
		return nil, err
	}
	defer done()
	return net.Dial("unix", at)
}

// askPools has the pools of a project look whether what waits in them is as it would be
// made now. It does not wait.
func (h *host) askPools(workspace string) {
	ids, _ := h.dirs.PoolIDs()
	for _, id := range ids {
		if c, err := dialPool(h.dirs.Pool(id)); err == nil {
			_ = c.SetDeadline(time.Now().Add(time.Second))
			_, _ = io.WriteString(c, poolLook+" "+strconv.Quote(workspace)+"\n")
			_ = c.Close()
		}
	}
}

// clearPools has what waits in the pools of a project end, so that what its runs left can be
// applied, thrown away or taken back, and returns when it has. It fails in silence: whoever
// needs the project for themselves is told what runs there.
func (h *host) clearPools(ctx context.Context, workspace string) {
	ids, _ := h.dirs.PoolIDs()
	if len(ids) == 0 {
		return
	}
	for _, id := range ids {
		_, _ = h.askPool(id, poolClear+" "+strconv.Quote(workspace))
	}
	ctx, cancel := context.WithTimeout(ctx, clearWait)
	defer cancel()
	runs, _ := h.dirs.Runs()
	for _, e := range runs {
		if e.Warm != "" && e.Workspace == workspace {
			_ = h.dirs.Await(ctx, e)
		}
	}
}

// clearWait bounds what it takes to end what waits; one may have been taken just now.
const clearWait = 5 * time.Second

func (a *App) poolStopCommand() *cobra.Command {
	var all bool
	c := &cobra.Command{
		Use:   "stop [NAME…]",
		Short: "end pools: those named, else those of this project",
		Long:  "Ends pools and the sandboxes that wait in them, and returns when these are gone. Runs that took one go on.\n",
		RunE:  func(_ *cobra.Command, args []string) error { return a.poolStop(args, all) },
	}
	c.Flags().BoolVar(&all, "all", false, "all pools of yours")
	return c
}

func (a *App) poolStop(names []string, all bool) error {
	h, err := a.enter()
	if err != nil {
		return err
	}
	list, err := h.pools()
	if err != nil {
		return err
	}
	var errs []error
	for _, n := range names {
		if !slices.ContainsFunc(list, func(p poolInfo) bool { return p.ID == n }) {
			errs = append(errs, &belljar.Error{Op: "stop pool", ID: n, Kind: belljar.KindNoSuch, Err: errors.New("no pool of that name is kept"), Hint: "belljar pool ls lists them"})
		}
	}
	stopped := 0
	for _, p := range list {
		if !all && !slices.Contains(names, p.ID) && (len(names) > 0 || !within(h.cwd, p.Workspace)) {
			continue
		}
		stopped++
		if _, err := h.askPool(p.ID, poolStop); err != nil && !errors.Is(err, syscall.ECONNRESET) {
			errs = append(errs, &belljar.Error{Op: "stop pool", ID: p.ID, Err: err})
		}
	}
	if stopped == 0 && len(names) == 0 {
		a.note("no pool is kept here")
	}
	if len(errs) == 1 {
		return errs[0]
	}
	return errors.Join(errs...)
}

// readWord reads one line that a pool is asked with.
func readWord(c net.Conn) (string, error) {
	_ = c.SetReadDeadline(time.Now().Add(time.Second))
	line, err := bufio.NewReader(io.LimitReader(c, 8<<10)).ReadString('\n')
	return strings.TrimSuffix(line, "\n"), err
}
