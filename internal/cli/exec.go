package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/api"
	"github.com/belljar-dev/belljar/terminal"
	"github.com/spf13/cobra"
)

// askedGrace is what a command gets to end after the user asked for that twice.
const askedGrace = 2 * time.Second

type execFlags struct {
	dir string
	env []string
}

func (a *App) execCommand() *cobra.Command {
	var f execFlags
	c := &cobra.Command{
		Use:     "exec [flags] NAME [--] COMMAND [ARG…]",
		Short:   "run a further command in a running sandbox",
		GroupID: "run",
		Long: `Runs COMMAND in the running sandbox NAME, beside what runs there: with its files, network,
limits and record. COMMAND is found inside, along the sandbox's PATH. It has a terminal
when standard input, output and error are one. It ends with the sandbox, and by SIGHUP
when this command is killed; other signals are passed on, and the second of SIGINT,
SIGTERM and SIGHUP ends this command too, two seconds later.
` + exitStatus,
		Example: "  belljar exec quiet-otter -- git status\n  belljar exec quiet-otter bash",
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) > 1 && args[1] == "--" { // flags end at NAME
				args = append(args[:1:1], args[2:]...)
			}
			if len(args) < 2 {
				return usage(errors.New("which sandbox, and which command?"), usageLine(c))
			}
			return a.exec(c.Context(), &f, args[0], args[1:])
		},
	}
	c.Flags().StringVar(&f.dir, "dir", "", "start in `DIR` inside (default: where the sandbox's command started)")
	c.Flags().StringArrayVar(&f.env, "env", nil, "set `NAME=VALUE` for COMMAND")
	c.Flags().SetInterspersed(false)
	c.ValidArgsFunction = a.completeRunning
	return c
}

// execRequest is what args ask for; what is about a terminal is left out.
func execRequest(f *execFlags, args []string) (api.ExecRequest, error) {
	r := api.ExecRequest{Argv: args, Dir: f.dir, Env: f.env}
	for _, s := range append(append([]string{f.dir}, args...), f.env...) {
		if !utf8.ValidString(s) {
			return r, usage(fmt.Errorf("%q is not UTF-8", s), "belljar hands on text only")
		}
	}
	if f.dir != "" && !filepath.IsAbs(f.dir) {
		return r, usage(fmt.Errorf("--dir %q is not absolute", f.dir), "name the folder as it is called inside")
	}
	for _, e := range f.env {
		if name, _, ok := strings.Cut(e, "="); !ok || name == "" {
			return r, usage(fmt.Errorf("--env %q has no value", e), "--env NAME=VALUE: nothing of your own environment is handed on")
		}
	}
	return r, r.Check()
}

// session relays the caller's streams to the files of ours. done closes all that is ours.
func (a *App) session() (s *terminal.Session, ours *belljar.Command, done func(), err error) {
	s, err = terminal.NewSession(terminal.Options{Stdin: a.In, Stdout: a.Out, Stderr: a.Err})
	if err != nil {
		return nil, nil, nil, &belljar.Error{Op: "relay the terminal", Err: err}
	}
	ours = &belljar.Command{}
	s.Command(ours)
	return s, ours, func() {
		closeFiles(ours.Stdin, ours.Stdout, ours.Stderr)
		_ = s.Close()
	}, nil
}

func (a *App) exec(ctx context.Context, f *execFlags, name string, args []string) error {
	r, err := execRequest(f, args)
	if err != nil {
		return err
	}
	h, err := a.enter()
	if err != nil {
		return err
	}
	e, err := a.running(h, name)
	if err != nil {
		return err
	}
	s, ours, done, err := a.session()
	if err != nil {
		return err
	}
	defer done()
	if r.TTY, r.Size = ours.TTY, ours.Size; r.TTY {
		if t := h.getenv("TERM"); t != "" {
			r.Env = append([]string{"TERM=" + t}, r.Env...)
		}
	}
	stream, err := e.Control().Exec(ctx, r)
	if err != nil {
		return notStarted(err, e.Name, args[0])
	}
	defer stream.Close()
	status, err := a.relay(ctx, stream, s, ours, leaving{on: []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP}, after: askedGrace})
	if a.status != 0 { // the user did not wait for the end
		return nil
	}
	if err != nil {
		return err
	}
	a.status = status.Status()
	return nil
}

// notStarted is err, with what could not be run where that is the reason.
func notStarted(err error, name, command string) error {
	var e *belljar.Error
	if k := belljar.KindOf(err); errors.As(err, &e) && (k == belljar.KindNotFound || k == belljar.KindRefused) {
		return &belljar.Error{Op: "run " + strconv.Quote(command) + " in", ID: name, Kind: k, Err: e.Err, Hint: e.Hint}
	}
	return err
}

// relay connects s, whose inner ends ours are, with stream until the command has ended and
// everything that it printed is there.
func (a *App) relay(ctx context.Context, stream *api.Stream, s *terminal.Session, ours *belljar.Command, l leaving) (belljar.ExitStatus, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	asked := make(chan syscall.Signal, 1)
	defer a.passOn(stream, l, func(s syscall.Signal) {
		asked <- s
		_ = stream.Close()
		cancel()
	})()
	relayed := make(chan error, 1)
	go func() { relayed <- s.Run(ctx, stream.Resize) }()
	go func() {
		in := stream.Stdin()
		_, _ = io.Copy(in, ours.Stdin)
		_ = in.Close()
	}()
	out := func(to *os.File, from io.ReadCloser) {
		if to == nil {
			return
		}
		go func() {
			if _, err := io.Copy(to, from); errors.Is(err, syscall.EPIPE) {
				_ = from.Close() // as a program outside would be told
			}
			_ = to.Close()
		}()
	}
	out(ours.Stdout, stream.Stdout())
	out(ours.Stderr, stream.Stderr())
	err := <-relayed
	select {
	case s := <-asked:
		a.status = 128 + int(s)
		return belljar.ExitStatus{}, nil
	default:
	}
	_ = stream.Printed(s.Dropped()) // whose end is told by Wait
	status, waitErr := stream.Wait(ctx)
	if waitErr != nil {
		return status, waitErr
	}
	if err != nil {
		return status, &belljar.Error{Op: "print what the command printed", Err: err}
	}
	return status, nil
}

// leaving is when somebody waits for a command no longer: so long after the second of the
// signals that ask for its end.
type leaving struct {
	on    []syscall.Signal
	after time.Duration
}

// passOn passes signals on to the command behind stream; the function that it returns ends
// that. Who asks for the end twice waits no longer than l says: then leave is called.
func (a *App) passOn(stream *api.Stream, l leaving, leave func(syscall.Signal)) (stop func()) {
	signals := make(chan os.Signal, 8)
	for _, s := range []os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2} {
		if !signal.Ignored(s) {
			signal.Notify(signals, s)
		}
	}
	done := make(chan struct{})
	go func() {
		var asks int
		var over <-chan time.Time
		var last syscall.Signal
		for {
			select {
			case <-done:
				return
			case <-over:
				leave(last)
				return
			case s := <-signals:
				n, ok := s.(syscall.Signal)
				if !ok {
					continue
				}
				if slices.Contains(l.on, n) {
					last = n
					if asks++; asks == 2 {
						over = time.After(l.after)
					}
				}
				go stream.Signal(belljar.Signal(n)) // the other side may not read
			}
		}
	}()
	return func() {
		signal.Stop(signals)
		close(done)
	}
}

func closeFiles(files ...*os.File) {
	for _, f := range files {
		if f != nil {
			_ = f.Close()
		}
	}
}
