package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/event"
	"github.com/belljar-dev/belljar/terminal"
	"github.com/spf13/cobra"
	"golang.org/x/term"
)

var eventKinds = []belljar.EventKind{
	belljar.EventStart, belljar.EventPlan, belljar.EventExec, belljar.EventExit, belljar.EventConnect, belljar.EventRequest, belljar.EventRefuse,
	belljar.EventTake, belljar.EventAsk, belljar.EventAnswer, belljar.EventJudge, belljar.EventFile, belljar.EventLimit, belljar.EventSampled, belljar.EventPublish, belljar.EventTerminal, belljar.EventSegment, belljar.EventEnd,
}

func kindNames() []string {
	var names []string
	for _, k := range eventKinds {
		names = append(names, string(k))
	}
	return names
}

type logFlags struct {
	follow, asJSON, list, all bool
	pick                      picked
}

func (a *App) logCommand() *cobra.Command {
	var f logFlags
	c := &cobra.Command{
		Use:     "log [NAME]",
		Short:   "show what a sandbox did",
		GroupID: "review",
		Long: `Shows the record of the sandbox NAME, or of the newest one of this project (of all,
where it has none): every program that ran, every connection and refusal, every file that passed or waits, limits. The record
is written outside the sandbox and chained: belljar log verify finds changes.

  belljar log --process git                  a program and its end, wherever it ran
  belljar log --verdict deny                 what was refused
  belljar log --all --since 7d --host HOST   of every sandbox that this user ran

A time is a date, a date and a time, a time of today, or how long ago: 30m, 7d, 2w.
`,
		Args: exactly(cobra.MaximumNArgs(1)),
		RunE: func(c *cobra.Command, args []string) error { return a.log(c.Context(), &f, first(args)) },
	}
	c.Flags().BoolVarP(&f.follow, "follow", "f", false, "wait for more until the sandbox ends")
	c.Flags().BoolVar(&f.list, "list", false, "list the records")
	c.PersistentFlags().BoolVar(&f.asJSON, "json", false, "print JSON")
	c.Flags().BoolVar(&f.all, "all", false, "of all sandboxes, one after the other; with --list: also those that waited in a pool and were not taken")
	f.pick.flags(c)
	c.ValidArgsFunction = a.completeNames(false)
	c.AddCommand(a.logVerifyCommand(&f), a.logSummaryCommand(&f), a.logClaimsCommand(&f))
	return c
}

// record is the record of that name, or what is meant here without one.
func record(h *host, name string) (event.Info, error) {
	if name == "" {
		return event.FindIn(h.dirs.State, h.cwd)
	}
	return event.Find(h.dirs.State, name)
}

// find is [record] with the name that was probably meant.
func (a *App) find(h *host, name string) (event.Info, error) {
	info, err := record(h, name)
	if belljar.KindOf(err) == belljar.KindNoSuch && name != "" {
		err = a.noSandbox(h, name, "no sandbox of that name is on record")
	}
	return info, err
}

// noSandbox is the error for a name that nothing has.
func (a *App) noSandbox(h *host, name, why string) error {
	hint := "belljar log --list shows the sandboxes on record"
	infos, _ := event.List(h.dirs.State) // without it there is no better hint
	var names []string
	for _, i := range slices.Backward(infos) {
		names = append(names, i.Name)
	}
	if near := nearest(name, names); near != "" {
		hint = "did you mean " + terminal.Escape(near) + "? " + hint
	}
	return &belljar.Error{Op: "find sandbox", ID: name, Kind: belljar.KindNoSuch, Err: errors.New(why), Hint: hint}
}

func first(args []string) string {
	if len(args) == 0 {
		return ""
	}
	return args[0]
}

func (a *App) log(ctx context.Context, f *logFlags, name string) error {
	filter, err := f.pick.filter(time.Now())
	switch {
	case err != nil:
		return err
	case f.all && (f.follow || name != ""):
		return usage(errors.New("--all shows what all sandboxes did: it goes with no name and no --follow"), "")
	}
	h, err := a.enter()
	if err != nil {
		return err
	}
	switch {
	case f.list:
		return a.logList(h, f)
	case f.all:
		return a.logAll(ctx, h, filter, f.asJSON)
	}
	info, err := a.find(h, name)
	if err != nil {
		return err
	}
	entries := event.Read(info.Path, filter)
	if f.follow {
		entries = event.Follow(ctx, info.Path, filter)
	}
	o := event.PrintOptions{Color: useColor(a.Out)}
	for e, err := range entries {
		switch {
		case err != nil:
			printError(a.Err, err)
			a.status = belljar.KindInternal.ExitStatus()
			continue
		case f.asJSON:
			_, err = a.Out.Write(append(slices.Clone(e.Raw), '\n'))
		default:
			err = event.Print(a.Out, &e, o)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// useColor: a terminal, and NO_COLOR is not set (no-color.org).
func useColor(f *os.File) bool { return os.Getenv("NO_COLOR") == "" && term.IsTerminal(int(f.Fd())) }

// logList lists the records, those of sandboxes of a pool that nobody took only with --all:
// nothing ran in these.
func (a *App) logList(h *host, f *logFlags) error {
	infos, err := event.List(h.dirs.State)
	if err != nil {
		return err
	}
	if !f.all {
		infos = slices.DeleteFunc(infos, func(i event.Info) bool { return i.Untaken })
	}
	if f.asJSON {
		return a.printJSON(append([]event.Info{}, infos...)) // never null
	}
	return table(a.Out, "NAME\tSTARTED\tSTATUS\tCOMMAND", func(w io.Writer) {
		for _, i := range infos {
			cmd := ""
			if i.Start != nil {
				cmd = shortened(event.Command(i.Start.Argv))
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", terminal.Escape(i.Name), i.Time.Local().Format(time.DateTime), i.Status, cmd)
		}
	})
}

// maxCell is how many characters of a command a table or a shell's menu shows.
const maxCell = 80

func shortened(s string) string {
	if r := []rune(s); len(r) > maxCell {
		return string(r[:maxCell-1]) + "…"
	}
	return s
}

// table prints columns that people can read.
func table(out io.Writer, head string, rows func(io.Writer)) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, head)
	rows(w)
	return w.Flush()
}

func (a *App) logVerifyCommand(f *logFlags) *cobra.Command {
	var all bool
	c := &cobra.Command{
		Use:   "verify [NAME]",
		Short: "check that records were not changed",
		Long: `Checks the chain of a record, its end, its anchors and signatures: of the sandbox NAME, or of
the newest one of this project. Prints every fault and exits 1 when there is one. That a sandbox was
killed is said, but is no fault.
`,
		Args:              exactly(cobra.MaximumNArgs(1)),
		ValidArgsFunction: a.completeNames(false),
		RunE: func(c *cobra.Command, args []string) error {
			h, err := a.enter()
			switch {
			case err != nil:
				return err
			case all && len(args) > 0:
				return usage(errors.New("--all checks every record: a name has no meaning then"), usageLine(c))
			case all:
				return a.verifyAll(c.Context(), h, f.asJSON)
			}
			return a.verify(c.Context(), h, first(args), f.asJSON)
		},
	}
	c.Flags().BoolVar(&all, "all", false, "check every record there is, or should be")
	return c
}

func (a *App) verify(ctx context.Context, h *host, name string, asJSON bool) error {
	id := name
	info, err := record(h, name)
	switch {
	case err == nil:
		id = info.ID
	case name == "":
		return err
	}
	witnesses, done := h.witnesses(ctx)
	defer done()
	// A record that is gone may be known to the anchors.
	rep, err := event.Verify(h.dirs.State, id, witnesses...)
	switch belljar.KindOf(err) {
	case belljar.KindNoSuch, belljar.KindUsage:
		return a.noSandbox(h, name, "no sandbox of that name is on record, and the anchors know none")
	}
	if err != nil {
		return err
	}
	if !rep.OK() {
		a.status = 1
	}
	if asJSON {
		return a.printJSON(rep)
	}
	a.printReport(&rep)
	return nil
}

// verifyAll judges every record and sums up.
func (a *App) verifyAll(ctx context.Context, h *host, asJSON bool) error {
	witnesses, done := h.witnesses(ctx)
	defer done()
	reports, err := event.VerifyAll(h.dirs.State, witnesses...)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(reports, func(r event.Report) bool { return !r.OK() }) {
		a.status = 1
	}
	if asJSON {
		return a.printJSON(append([]event.Report{}, reports...)) // never null
	}
	a.printReports(reports)
	return nil
}

// printReports prints what is wrong, in full, and counts what is not.
func (a *App) printReports(reports []event.Report) {
	broken, open := 0, 0
	for i := range reports {
		switch rep := &reports[i]; {
		case !rep.OK():
			broken++
			a.printReport(rep)
		case len(rep.Notes) > 0:
			open++
		}
	}
	noted := ""
	if open > 0 {
		noted = fmt.Sprintf(", of which %d have no end (running, or killed)", open)
	}
	fmt.Fprintf(a.Out, "%s checked: %d hold%s, %d broken\n", counted(len(reports), "record", "records"), len(reports)-broken, noted, broken)
}

func (a *App) printReport(rep *event.Report) {
	verdict := "the chain holds"
	if !rep.OK() {
		verdict = "the chain is BROKEN"
	}
	name := terminal.Escape(rep.ID)
	if rep.Name != "" {
		name = terminal.Escape(rep.Name) + " (" + name + ")"
	}
	fmt.Fprintf(a.Out, "%s: %s, %s\n", name, counted(rep.Events, "event", "events"), verdict)
	for _, x := range rep.Faults {
		where := ""
		if x.Line > 0 {
			where = fmt.Sprintf("line %d: ", x.Line)
		}
		fmt.Fprintf(a.Out, "  %s: %s%s\n", x.Kind, where, x.What)
	}
	if rep.Signer != "" {
		fmt.Fprintf(a.Out, "  signed by %s\n", rep.Signer)
	}
	for _, n := range rep.Notes {
		fmt.Fprintf(a.Out, "  note: %s\n", n)
	}
	if rep.More > 0 {
		fmt.Fprintf(a.Out, "  and %d faults more\n", rep.More)
	}
}

// record finds the record of the sandbox that args name, or of the newest one of this project.
func (a *App) record(args []string) (event.Info, error) {
	h, err := a.enter()
	if err != nil {
		return event.Info{}, err
	}
	return a.find(h, first(args))
}

func (a *App) logSummaryCommand(f *logFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "summary [NAME]",
		Short: "sum up a record on one screen",
		Long: `Sums up what the sandbox NAME did, or the newest one of this project: programs, hosts, files, limits,
with what was refused and what would allow it.
`,
		Args:              exactly(cobra.MaximumNArgs(1)),
		ValidArgsFunction: a.completeNames(false),
		RunE: func(c *cobra.Command, args []string) error {
			info, err := a.record(args)
			if err != nil {
				return err
			}
			s := event.Summarise(event.Read(info.Path, event.Filter{}))
			if f.asJSON {
				return a.printJSON(s)
			}
			return s.Write(a.Out, screen(a.Out))
		},
	}
}
