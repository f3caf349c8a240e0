package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/event"
	"github.com/belljar-dev/belljar/sandbox"
	"github.com/belljar-dev/belljar/terminal"
	"github.com/spf13/cobra"
	"golang.org/x/term"
)

func (a *App) logsCommand() *cobra.Command {
	var follow bool
	c := &cobra.Command{
		Use:     "logs NAME",
		Short:   "print what a detached sandbox printed",
		GroupID: "run",
		Long: `Prints what the command of the sandbox NAME, started by run --detach, has printed,
with belljar's own lines. The last 8 to 16 MiB are kept, until belljar rm or prune.
On a terminal it passes the filter that a command's output passes; elsewhere
it is printed as it was, with the line ends that files have.
`,
		Args:              exactly(cobra.ExactArgs(1)),
		ValidArgsFunction: a.completeNames(false),
		RunE:              func(c *cobra.Command, args []string) error { return a.logs(c.Context(), args[0], follow) },
	}
	c.Flags().BoolVarP(&follow, "follow", "f", false, "wait for more until the sandbox ends")
	return c
}

// followEvery is how often logs -f looks for more.
const followEvery = 50 * time.Millisecond

func (a *App) logs(ctx context.Context, name string, follow bool) error {
	h, err := a.enter()
	if err != nil {
		return err
	}
	a.sweep(h)
	e, err := a.running(h, name)
	runs := err == nil
	if !runs {
		if belljar.KindOf(err) != belljar.KindNoSuch {
			return err
		}
		info, err := event.Find(h.dirs.State, name)
		if err != nil {
			return a.noSandbox(h, name, "no sandbox of that name runs or is on record")
		}
		e = sandbox.Entry{ID: info.ID, Name: info.Name}
	}
	dir := h.dirs.Output(e.ID)
	if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
		return &belljar.Error{Op: "find output", ID: e.Name, Kind: belljar.KindNoSuch, Err: errors.New("nothing is kept of it"), Hint: "only what is run with --detach is kept, until belljar rm; belljar log " + e.Name + " shows its record"}
	}
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	w, done := a.logWriter()
	ended := make(chan struct{})
	if runs && follow {
		go func() {
			defer close(ended)
			_ = h.dirs.Await(ctx, e)
		}()
	} else {
		close(ended)
	}
	copied := make(chan error, 1)
	go func() { copied <- copyLogs(untilDone{ctx, w}, dir, ended) }()
	select {
	case err = <-copied:
	case <-ctx.Done():
		select {
		case <-copied:
		case <-time.After(time.Second): // the terminal is halted
			done = func() {}
		}
	}
	done() // also after ctrl-c: the terminal is as it was
	if ctx.Err() != nil {
		a.status = 128 + int(syscall.SIGINT)
		return nil
	}
	return err
}

// untilDone is w until ctx ends.
type untilDone struct {
	ctx context.Context
	w   io.Writer
}

// Write implements [io.Writer].
func (u untilDone) Write(p []byte) (int, error) {
	if err := u.ctx.Err(); err != nil {
		return 0, err
	}
	return u.w.Write(p)
}

// copyLogs copies what there is, and more until ended is closed.
func copyLogs(w io.Writer, dir string, ended <-chan struct{}) error {
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	for at, last := int64(0), false; ; {
		next, left, err := sandbox.CopyOutput(w, dir, at)
		if left > 0 && at > 0 {
			fmt.Fprintf(w, "\n[belljar: %d bytes were left out here]\n", left)
		}
		if at = next; err != nil {
			return &belljar.Error{Op: "print output", Err: err}
		}
		if last {
			return nil
		}
		select {
		case <-ended:
			last = true // what came in between
		case <-tick.C:
		}
	}
}

// logWriter is standard output for what a sandbox printed.
func (a *App) logWriter() (w io.Writer, done func()) {
	if !term.IsTerminal(int(a.Out.Fd())) {
		l := &lineEnds{w: a.Out}
		return l, l.flush
	}
	f := terminal.NewFilter(a.Out, terminal.FilterOptions{NoQueries: true, SaveTitle: true})
	return f, func() {
		_ = f.Close()
		_, _ = a.Out.Write(f.Reset())
	}
}

// lineEnds writes the line ends of a terminal, \r\n, as those of a file.
type lineEnds struct {
	w    io.Writer
	held bool // a \r
}

// Write implements [io.Writer].
func (l *lineEnds) Write(p []byte) (int, error) {
	out := make([]byte, 0, len(p)+1)
	for _, c := range p {
		if l.held && c != '\n' {
			out = append(out, '\r')
		}
		if l.held = c == '\r'; !l.held {
			out = append(out, c)
		}
	}
	if _, err := l.w.Write(out); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (l *lineEnds) flush() {
	if l.held {
		_, _ = l.w.Write([]byte{'\r'})
	}
}
